//! A POST to any URL: all fields as JSON, or what a template makes of them.

use super::{Post, SendError, Sender, answer, endpoint};
use crate::config::notify::Webhook;
use crate::report::notify::Notice;

pub(super) async fn send(sender: &Sender, webhook: &Webhook, notice: &Notice) -> Result<String, SendError> {
    let endpoint =
        endpoint(sender.url(&webhook.web.address)?, webhook.auth.clone(), webhook.web.ca_file.as_ref());
    let headers = webhook.headers.iter().map(|(name, value)| Ok((name.clone(), sender.text(value)?)));
    let body = match &webhook.template {
        Some(template) => template.render(|field| notice.field(field)),
        None => notice.json().to_string(),
    };
    let post = Post {
        content_type: webhook.content_type.clone(),
        headers: headers.collect::<Result<_, SendError>>()?,
        body: body.into_bytes(),
    };
    sender.post(&endpoint, post).await.map(|reply| answer(&reply))
}
