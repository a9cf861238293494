//! From a response as it is configured to what it looks with.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::targets::credentials;
use super::{App, Shared};
use crate::config::response::Response;
use crate::config::values::{JobName, TargetName};
use crate::config::{ApplicationTarget, DatabaseRef, JobKind};
use crate::docker::Docker;
use crate::http::{Credentials, HttpClient};
use crate::prometheus::client::PrometheusClient;
use crate::response::{Application, Context, Diagnosis, Unable, diagnose};
use crate::words;

/// The engine has to answer within this: a diagnosis must not wait for it.
const DOCKER_LIMIT: Duration = Duration::from_secs(10);

impl App {
    /// Makes the steps of a response now, looking back so far. Nothing is changed, and nothing is noted in the history.
    pub async fn diagnose(
        &self,
        response: &Response,
        last: Duration,
        cancel: &CancellationToken,
    ) -> Diagnosis {
        let context = self.diagnosis_context(response, last).await;
        diagnose(response, &context, cancel).await
    }

    /// What the steps of a response look with.
    pub async fn diagnosis_context(&self, response: &Response, last: Duration) -> Context {
        let shared = &self.shared;
        let of = |name: &TargetName| shared.config.application.get(name);
        let application = response.application.as_ref().and_then(of).map(|target| shared.watched(target));
        let prometheus = response.prometheus.clone().map(|name| {
            let client = shared.asked(&name);
            (name, client)
        });
        let veil = Arc::clone(shared);
        Context {
            clock: self.runner.clock,
            last,
            limit: Context::LIMIT,
            application,
            prometheus,
            docker: shared.docker_soon().await,
            veil: crate::blocking::blocking(move || veil.veil()).await,
            closes_sessions: response.application.as_ref().and_then(|name| shared.closes_sessions(name)),
        }
    }
}

impl Shared {
    fn watched(&self, target: &ApplicationTarget) -> Application {
        Application {
            name: target.name.clone(),
            url: target.endpoint.url.clone(),
            http: self.http_of(target),
            container: target.container.clone(),
            database: target.database.clone(),
            health: target.health.clone(),
            metrics: target.metrics.clone(),
            expect_metric: target.expect_metric.clone(),
        }
    }

    fn http_of(&self, target: &ApplicationTarget) -> Result<HttpClient, Unable> {
        let found: Result<Credentials, _> = credentials(&target.endpoint.auth, self);
        let found = found.map_err(|error| Unable::of(&error, error.hint()))?;
        HttpClient::new(&target.endpoint, found).map_err(|error| Unable::of(&error, None))
    }

    fn asked(&self, name: &TargetName) -> Result<PrometheusClient, Unable> {
        let target = self.config.prometheus.get(name);
        let target = target.ok_or_else(|| Unable::new(format!("there is no [prometheus.{name}]")))?;
        self.client(target).map_err(|error| Unable::of(&error, error.hint()))
    }

    async fn docker_soon(&self) -> Result<Docker, Unable> {
        if let Ok(found) = tokio::time::timeout(DOCKER_LIMIT, self.docker()).await {
            return Ok(found?.clone());
        }
        let limit = words::duration(DOCKER_LIMIT);
        let hint = "does the engine run, and does it answer? `docker info` and the engine's log tell";
        Err(Unable {
            text: format!("the Docker engine did not answer within {limit}"),
            hint: Some(hint.to_owned()),
        })
    }

    fn closes_sessions(&self, application: &TargetName) -> Option<JobName> {
        let closes = |kind: &JobKind| match kind {
            JobKind::CloseStaleSessions(config) => {
                matches!(&config.backup.database, DatabaseRef::Application(name) if name == application)
            }
            _ => false,
        };
        let jobs = &self.config.jobs;
        jobs.iter().find(|job| closes(&job.kind)).map(|job| job.name.clone())
    }
}
