//! Mail. The only user of `lettre`.

use std::path::Path;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::{LIMIT, SendError, Sender, clipped};
use crate::config::notify::{Email, SmtpTls};
use crate::regular;
use crate::report::notify::Notice;

pub(super) type SmtpError = lettre::transport::smtp::Error;

/// Why a mail cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// An address is none.
    #[error(transparent)]
    Address(#[from] lettre::address::AddressError),
    /// Something is missing.
    #[error(transparent)]
    Message(#[from] lettre::error::Error),
}

/// The longest subject, in bytes.
const SUBJECT: usize = 200;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

pub(super) async fn send(sender: &Sender, email: &Email, notice: &Notice) -> Result<String, SendError> {
    let mail = message(email, notice).map_err(|source| SendError::Mail {
        from: email.from.clone(),
        to: email.to.join(", "),
        source,
    })?;
    let transport = transport(sender, email)?;
    let response = in_time(email, transport.send(mail)).await?;
    let said = response.first_line().unwrap_or("no text").to_owned();
    Ok(format!("{}: {said}", response.code()))
}

pub(super) async fn probe(sender: &Sender, email: &Email) -> Result<String, SendError> {
    let transport = transport(sender, email)?;
    in_time(email, transport.test_connection()).await?;
    Ok(format!(
        "{} answers{}",
        server(email),
        if email.login.is_some() { ", and takes the password" } else { "" }
    ))
}

/// Whether the server answered, and said no.
pub(super) fn is_answer(error: &SmtpError) -> bool {
    error.is_permanent() || error.is_transient()
}

async fn in_time<T>(email: &Email, work: impl Future<Output = Result<T, SmtpError>>) -> Result<T, SendError> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(done) => done.map_err(|source| SendError::Smtp { server: server(email), source }),
        Err(_) => Err(SendError::SmtpLate { server: server(email), limit: LIMIT }),
    }
}

fn server(email: &Email) -> String {
    format!("{}:{}", email.host, email.port)
}

fn message(email: &Email, notice: &Notice) -> Result<Message, MailError> {
    let mut builder = Message::builder().from(email.from.parse::<Mailbox>()?).message_id(None);
    for to in &email.to {
        builder = builder.to(to.parse::<Mailbox>()?);
    }
    let builder = builder.subject(clipped(&notice.headline, SUBJECT)).header(ContentType::TEXT_PLAIN);
    Ok(builder.body(format!("{}\n", notice.text()))?)
}

fn transport(sender: &Sender, email: &Email) -> Result<Transport, SendError> {
    let failed = |source| SendError::Smtp { server: server(email), source };
    let tls = match email.tls {
        SmtpTls::None => Tls::None,
        SmtpTls::StartTls => Tls::Required(parameters(email, &failed)?),
        SmtpTls::Tls => Tls::Wrapper(parameters(email, &failed)?),
    };
    let builder = Transport::builder_dangerous(&email.host).port(email.port).tls(tls).timeout(Some(LIMIT));
    Ok(match &email.login {
        Some((user, password)) => {
            let password = sender.secret(password)?.expose().to_owned();
            builder.credentials(Credentials::new(user.clone(), password)).build()
        }
        None => builder.build(),
    })
}

fn parameters(email: &Email, failed: &dyn Fn(SmtpError) -> SendError) -> Result<TlsParameters, SendError> {
    let mut builder = TlsParameters::builder(email.host.clone());
    if let Some(path) = &email.ca_file {
        builder = builder.add_root_certificate(certificate(path, failed)?);
    }
    builder.build_rustls().map_err(failed)
}

fn certificate(path: &Path, failed: &dyn Fn(SmtpError) -> SendError) -> Result<Certificate, SendError> {
    let pem = regular::read_named(path, regular::SMALL)
        .map_err(|source| SendError::File { path: path.to_owned(), source })?;
    Certificate::from_pem(&pem).map_err(failed)
}
