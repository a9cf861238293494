//! Removing what we made: in the ordinary way, from a `Drop`, and after a process that was killed.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveContainerOptions,
    RemoveContainerOptionsBuilder, RemoveImageOptions, RemoveImageOptionsBuilder,
};
use jiff::Timestamp;

use super::error::DockerError;
use super::mark::{Life, Mark};
use super::self_image::REPOSITORY;
use super::{Docker, HELPER_LABEL};

/// The longest a `Drop` may block.
const DROP_LIMIT: Duration = Duration::from_secs(20);
/// A helper whose process cannot be looked at is left alone this long, by the engine's own clock.
const FOREIGN_AGE: i64 = 48 * 60 * 60;

/// Something of ours on an engine.
pub(super) enum Leftover {
    /// A container, by ID.
    Container(String),
    /// An image, by name.
    Image(String),
}

/// Removes it on the way out of a scope that has no time for `await`. Best effort; sweeping is the net below.
///
/// On a thread and connection of its own, because the runtime of the caller may be going down.
pub(super) fn now(host: &str, leftover: Leftover) {
    let host = host.to_owned();
    let thread = std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let removal = async {
            let client = super::open(&host).await.ok()?;
            match leftover {
                Leftover::Container(id) => client.remove_container(&id, Some(forcefully())).await.ok(),
                Leftover::Image(name) => {
                    client.remove_image(&name, Some(with_force()), None).await.ok().map(drop)
                }
            }
        };
        let _ = runtime.block_on(async { tokio::time::timeout(DROP_LIMIT, removal).await });
    });
    let _ = thread.join();
}

/// With the container, but never with its volumes: a helper may be the last holder of the target's anonymous
/// volume when the target is made anew meanwhile, and `v` would delete the data.
fn forcefully() -> RemoveContainerOptions {
    RemoveContainerOptionsBuilder::default().force(true).v(false).build()
}

fn with_force() -> RemoveImageOptions {
    RemoveImageOptionsBuilder::default().force(true).build()
}

impl Docker {
    pub(super) async fn remove_container(&self, id: &str) -> Result<(), DockerError> {
        let removed = self.client.remove_container(id, Some(forcefully()));
        match self.request("remove a helper container", removed).await {
            Err(error) if error.is_gone() || error.is_conflict() => Ok(()),
            other => other,
        }
    }

    pub(super) async fn remove_image(&self, name: &str) -> Result<(), DockerError> {
        let removed = self.client.remove_image(name, Some(with_force()), None);
        match self.request("remove the helper image", removed).await {
            Err(error) if error.is_gone() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Removes what processes that are dead left on the engine. Returns how much that was.
    pub async fn sweep(&self) -> Result<usize, DockerError> {
        let now = self.engine_time().await?;
        let mut removed = 0;
        for id in self.stale_containers(now).await? {
            self.remove_container(&id).await?;
            removed += 1;
        }
        for tag in self.stale_images(now).await? {
            self.remove_image(&tag).await?;
            removed += 1;
        }
        Ok(removed)
    }

    async fn stale_containers(&self, now: i64) -> Result<Vec<String>, DockerError> {
        let filters = HashMap::from([("label", vec![HELPER_LABEL])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let all = self.request("list helper containers", self.client.list_containers(Some(options))).await?;
        let stale = all.into_iter().filter(|found| {
            let mark = found.labels.as_ref().and_then(|labels| labels.get(HELPER_LABEL));
            mark.is_some_and(|mark| is_stale(mark, found.created.unwrap_or(now), now))
        });
        Ok(stale.filter_map(|found| found.id).collect())
    }

    async fn stale_images(&self, now: i64) -> Result<Vec<String>, DockerError> {
        let filters = HashMap::from([("reference", vec![format!("{REPOSITORY}:*")])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let all = self.request("list helper images", self.client.list_images(Some(options))).await?;
        let tags = all.into_iter().flat_map(|image| {
            let created = image.created;
            image.repo_tags.into_iter().map(move |tag| (tag, created))
        });
        let stale = tags.filter(|(tag, created)| {
            let mark = tag.strip_prefix(REPOSITORY).and_then(|tag| tag.strip_prefix(':'));
            // Behind the mark stands the number of the image.
            let mark = mark.and_then(|tag| tag.rsplit_once('.')).map(|(mark, _)| mark);
            mark.is_some_and(|mark| is_stale(mark, *created, now))
        });
        Ok(stale.map(|(tag, _)| tag).collect())
    }

    /// The engine's clock, because the ages of its containers are told by it.
    async fn engine_time(&self) -> Result<i64, DockerError> {
        let info = self.request("ask for the engine's time", self.client.info()).await?;
        let time = info.system_time.and_then(|time| time.parse::<Timestamp>().ok());
        Ok(time.map_or(0, Timestamp::as_second))
    }
}

fn is_stale(mark: &str, created: i64, now: i64) -> bool {
    match mark.parse::<Mark>().map(|mark| mark.life()) {
        Ok(Life::Dead) => true,
        Ok(Life::Alive) => false,
        Ok(Life::Foreign) | Err(()) => now - created > FOREIGN_AGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_and_the_very_old_are_stale() {
        let own = Mark::own().to_string();
        assert!(!is_stale(&own, 0, i64::MAX));
        assert!(!is_stale("nonsense", 1_000, 2_000));
        assert!(is_stale("nonsense", 1_000, 1_000 + FOREIGN_AGE + 1));
    }
}
