//! Looks at the container of a Prometheus that is waited for: one that was removed, or has ended, answers no more, however
//! long it is asked, and one that is paused answers when somebody lets it run on.

use std::time::{Duration, Instant};

use super::error::RestoreError;
use super::site::{LAST_WORDS, Site};
use crate::docker::{ContainerState, Docker};
use crate::progress::Progress;
use crate::service::{Service, ServiceError};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);

impl Site {
    /// Waits for what somebody asks of Prometheus, and no longer than that can be answered.
    pub(super) async fn while_it_lives<T>(
        &self,
        progress: &Progress,
        asked: impl Future<Output = Result<T, RestoreError>>,
    ) -> Result<T, RestoreError> {
        let Service::Container { docker, name } = &self.service else { return asked.await };
        tokio::select! {
            biased;
            answered = asked => answered,
            why = self.no_longer_lives(docker, name, progress) => Err(why),
        }
    }

    /// Returns when nothing will answer any more, and says why.
    async fn no_longer_lives(&self, docker: &Docker, name: &str, progress: &Progress) -> RestoreError {
        let (mut ended, mut paused) = (0, None);
        loop {
            match docker.container(name).await.map(|container| container.info().state) {
                Err(error) => {
                    let error = ServiceError::from(error);
                    if error.is_gone() {
                        return RestoreError::service("wait for Prometheus", &error);
                    }
                    // The engine may answer the next time, and whoever asks Prometheus has a limit.
                }
                Ok(ContainerState::Paused) => {
                    let since = *paused.get_or_insert_with(|| self.tell_of_pause(name, progress));
                    if since.elapsed() >= self.limits.ready {
                        return RestoreError::Paused { container: name.to_owned(), limit: self.limits.ready };
                    }
                }
                Ok(ContainerState::Restarting) => ended += 1,
                Ok(state) if state.is_stopped() => ended += 1,
                Ok(_) => (ended, paused) = (0, None),
            }
            // Twice in a row: between two lives of a container it may look so for a moment.
            if ended > 1 {
                return RestoreError::Ended { log: self.service.last_words(LAST_WORDS).await };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn tell_of_pause(&self, name: &str, progress: &Progress) -> Instant {
        let limit = self.limits.ready.as_secs();
        progress.wait(&format!(
            "Prometheus does not answer: its container {name} is paused; let it run on within {limit} s with `docker unpause {name}`"
        ));
        Instant::now()
    }
}
