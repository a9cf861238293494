//! One organisation of the server that is restored to: questions, writes, and what each answer means for one object.
//!
//! A refusal of Grafana is of one object, and the others go on. What tells of the server as a whole ends everything: a
//! 401, a page for people, a connection that is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::super::GrafanaError;
use super::super::client::{Answer, Call, GrafanaClient};

/// The header without which what is written becomes read-only for people. Its presence counts, whatever it says.
const DISABLE_PROVENANCE: (&str, &str) = ("X-Disable-Provenance", "true");

/// Why one object was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Grafana's own refusal, or what was found to be in the way of this one object.
    #[error("{0}")]
    Refused(String),
    /// It said that it had done it, and has done something else: it is not asked to do more.
    #[error("{0}")]
    Wrong(String),
    /// The server as a whole: nothing more is sent to it.
    #[error(transparent)]
    Server(#[from] GrafanaError),
}

impl WriteError {
    /// It may have been done although nobody knows.
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_undecided())
    }
}

/// One organisation of a server, or the server as a whole, as its version has it.
#[derive(Debug, Clone)]
pub(in crate::grafana) struct Door {
    pub(in crate::grafana) client: GrafanaClient,
    /// Major and minor; what is unknown is taken for new.
    pub(in crate::grafana) version: (u32, u32),
    /// A write was sent that the server has not turned away: whatever it says, something may be another one there. Each
    /// object has its own.
    pub(in crate::grafana) wrote: Arc<AtomicBool>,
}

impl Door {
    /// What is there under a path; nothing where there is none, or where this version has no such path.
    pub(in crate::grafana) async fn find(
        &self,
        action: &str,
        path: &str,
    ) -> Result<Option<Value>, WriteError> {
        let call = Call::get(action, path);
        let answer = self.client.exchange(&call).await?;
        match answer.status {
            404 => Ok(None),
            _ => Self::taken(&call, &answer).map(Some),
        }
    }

    /// What has to be there.
    pub(in crate::grafana) async fn get(&self, action: &str, path: &str) -> Result<Value, WriteError> {
        let call = Call::get(action, path);
        let answer = self.client.exchange(&call).await?;
        Self::taken(&call, &answer)
    }

    pub(super) async fn post(&self, action: &str, path: &str, body: Value) -> Result<Value, WriteError> {
        self.send(Call::post(action, path, body)).await
    }

    pub(super) async fn put(&self, action: &str, path: &str, body: Value) -> Result<Value, WriteError> {
        self.send(Call::put(action, path, body)).await
    }

    pub(super) async fn patch(&self, action: &str, path: &str, body: Value) -> Result<Value, WriteError> {
        self.send(Call::patch(action, path, body)).await
    }

    /// Removes something; what is gone already is gone.
    pub(super) async fn delete(&self, action: &str, path: &str) -> Result<(), WriteError> {
        self.remove(Call::delete(action, path)).await
    }

    /// Sends it, and takes only a success.
    pub(super) async fn send(&self, call: Call) -> Result<Value, WriteError> {
        let answer = self.write(&call).await?;
        Self::taken(&call, &answer)
    }

    /// Sends a removal; what is gone already is gone.
    pub(super) async fn remove(&self, call: Call) -> Result<(), WriteError> {
        let answer = self.write(&call).await?;
        if answer.status == 404 { Ok(()) } else { Self::taken(&call, &answer).map(drop) }
    }

    async fn write(&self, call: &Call) -> Result<Answer, GrafanaError> {
        // Said before: whoever is not waited for any longer may have been heard all the same.
        let wrote = self.wrote.swap(true, Ordering::Relaxed);
        let answer = self.client.exchange(call).await;
        let turned_away = match &answer {
            Ok(answer) => (400..500).contains(&answer.status),
            Err(error) => !error.is_undecided(),
        };
        if turned_away {
            self.wrote.store(wrote, Ordering::Relaxed);
        }
        answer
    }

    fn taken(call: &Call, answer: &Answer) -> Result<Value, WriteError> {
        match answer.status {
            // Accepted, but not done: there is something that does it later, or does not.
            202 if answer.json.get("status").and_then(Value::as_str) == Some("pending") => {
                Err(WriteError::Refused(format!("Cannot {}: it is only pending, and not saved", call.action)))
            }
            200..=299 => Ok(answer.json.clone()),
            status => Err(WriteError::Refused(format!(
                "Cannot {}: it answers {status}: {}",
                call.action,
                answer.message()
            ))),
        }
    }

    /// It has what came with this version.
    pub(super) fn is(&self, major: u32, minor: u32) -> bool {
        self.version >= (major, minor)
    }
}

/// The same request, so that what it writes stays as it is said to be: changeable by people, or only by requests.
pub(super) fn with_provenance(call: Call, provenance: &str) -> Call {
    let (name, value) = DISABLE_PROVENANCE;
    if provenance.is_empty() { call.with_header(name, value) } else { call }
}

/// A text of an object; empty where there is none.
pub(in crate::grafana) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A number of an object; 0 where there is none.
pub(super) fn number(object: &Value, field: &str) -> i64 {
    object.get(field).and_then(Value::as_i64).unwrap_or_default()
}

/// Something is there under this name that is neither empty nor false.
pub(in crate::grafana) fn flag(object: &Value, field: &str) -> bool {
    object.get(field).and_then(Value::as_bool).unwrap_or_default()
}
