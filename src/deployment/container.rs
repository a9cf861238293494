//! A container runs, is healthy where it can tell, and was made from the image that was meant.

use tokio::time::Instant;

use super::{PAUSE, Terms, Verdict, Wrong};
use crate::docker::{ContainerInfo, ContainerState, Docker};

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
            let state = state(info)?;
            let Some(wanted) = &self.image else { return Ok(state) };
            let digests = self.docker.image_digests(&info.image_id).await;
            let digests = digests.map_err(|error| Wrong::of(&error, error.hint()))?;
            return Ok(format!("{state}, {}", image(info, wanted, &digests)?));
        }
    }
}

fn state(info: &ContainerInfo) -> Verdict {
    let name = &info.name;
    if info.state != ContainerState::Running {
        let wrong = Wrong::new(format!("container {name} does not run: it is {:?}", info.state));
        return Err(wrong.hint(format!("look at `docker logs {name}`")));
    }
    match info.health.as_deref() {
        None | Some("none" | "") => Ok("it runs; it has no health check".to_owned()),
        Some("healthy") => Ok("it runs and is healthy".to_owned()),
        Some(health) => Err(Wrong::new(format!("container {name} runs, but is {health}"))
            .hint(format!("look at `docker inspect -f '{{{{json .State.Health}}}}' {name}`"))),
    }
}

/// A digest says exactly which image; a name says what was asked for when the container was made.
fn image(info: &ContainerInfo, wanted: &str, digests: &[String]) -> Verdict {
    let is_digest =
        |digest: &String| digest == wanted || digest.rsplit_once('@').is_some_and(|(_, d)| d == wanted);
    if info.image == wanted || info.image_id == wanted || digests.iter().any(is_digest) {
        return Ok(format!("its image is {wanted}"));
    }
    let known = if digests.is_empty() { String::new() } else { format!(", {}", digests.join(", ")) };
    let text = format!("its image is {} ({}{known}), not {wanted}", info.image, info.image_id);
    Err(Wrong::new(text).hint("make the container anew from the image that is meant"))
}
