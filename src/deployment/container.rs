//! A container runs and goes on running, is healthy where it can tell, and was made from the image that was meant: a name
//! means the image that is called so now, and not one that was called so when the container was made.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{PAUSE, Terms, Verdict, Wrong};
use crate::docker::{ContainerInfo, ContainerState, Docker, DockerError};
use crate::words;

/// A container that was started again and runs for less than this may be about to end again.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

/// Looks at a container.
#[derive(Debug, Clone)]
pub struct ContainerCheck {
    /// The engine.
    pub docker: Docker,
    /// The container.
    pub name: String,
    /// Its image: a name, an ID or a digest.
    pub image: Option<String>,
}

impl ContainerCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        loop {
            let found = self.docker.container(&self.name).await;
            let container = found.map_err(|error| Wrong::of(&error, error.hint()))?;
            let info = container.info();
            if info.health.as_deref() == Some("starting") && Instant::now() + PAUSE < terms.patience {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let state = state(info, terms.now)?;
            let Some(wanted) = &self.image else { return Ok(state) };
            return Ok(format!("{state}, {}", self.image(info, wanted).await?));
        }
    }
}

impl ContainerCheck {
    async fn image(&self, info: &ContainerInfo, wanted: &str) -> Verdict {
        let failed = |error: DockerError| Wrong::of(&error, error.hint());
        let digests = self.docker.image_digests(&info.image_id).await.map_err(failed)?;
        let current = self.docker.image_id(wanted).await.map_err(failed)?;
        image(info, wanted, &digests, current.as_deref())
    }
}

fn state(info: &ContainerInfo, now: Timestamp) -> Verdict {
    let name = &info.name;
    if info.state != ContainerState::Running {
        let wrong = Wrong::new(format!("container {name} does not run: it is {:?}", info.state));
        return Err(wrong.hint(format!("look at `docker logs {name}`")));
    }
    let runs = info.started.map(|started| now.duration_since(started)).filter(|runs| *runs < SETTLED);
    if let Some(runs) = runs.filter(|_| info.restarts > 0) {
        let ago = words::duration(runs.unsigned_abs());
        let times = words::count(usize::try_from(info.restarts).unwrap_or(usize::MAX), "time");
        let wrong = Wrong::new(format!(
            "container {name} ended and was started again {times}, the last time {ago} ago"
        ));
        return Err(wrong
            .hint(format!("look at `docker logs {name}`; after 5 minutes in one piece it is well again")));
    }
    match info.health.as_deref() {
        None | Some("none" | "") => Ok("it runs; it has no health check".to_owned()),
        Some("healthy") => Ok("it runs and is healthy".to_owned()),
        Some(health) => Err(Wrong::new(format!("container {name} runs, but is {health}"))
            .hint(format!("look at `docker inspect -f '{{{{json .State.Health}}}}' {name}`"))),
    }
}

/// A digest or an ID says exactly which image. A name says which one it is now, `current`; where none is called so any
/// more, what the container was made from has to do.
fn image(info: &ContainerInfo, wanted: &str, digests: &[String], current: Option<&str>) -> Verdict {
    let is_digest =
        |digest: &String| digest == wanted || digest.rsplit_once('@').is_some_and(|(_, d)| d == wanted);
    if let Some(current) = current.filter(|current| info.image == wanted && *current != info.image_id) {
        let text = format!(
            "its image is what {wanted} was when it was made ({}), which is {current} now",
            info.image_id
        );
        return Err(Wrong::new(text)
            .hint("make the container anew: `docker compose up -d`, or `docker rm` and `docker run`"));
    }
    let is_current = current == Some(info.image_id.as_str());
    if is_current || info.image == wanted || info.image_id == wanted || digests.iter().any(is_digest) {
        return Ok(format!("its image is {wanted}"));
    }
    let known = if digests.is_empty() { String::new() } else { format!(", {}", digests.join(", ")) };
    let text = format!("its image is {} ({}{known}), not {wanted}", info.image, info.image_id);
    Err(Wrong::new(text).hint("make the container anew from the image that is meant"))
}
