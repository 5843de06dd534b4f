//! [`Server`]: how a server of PostgreSQL is reached, and what its errors mean.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{DbError, DbErrorKind};
use crate::job::JobError;

/// How long one try to connect may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Classes of errors that no row is to blame for. Of class 54, limits, `54000` is: an index takes no value of this length.
const OF_THE_SERVER: &[&str] = &[
    "0A", "0B", "0L", "0P", "25", "26", "28", "2B", "34", "3B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "72", "F0",
    "HV", "XX",
];

/// Where a server is and who asks.
pub(super) struct Server {
    config: Config,
    shown: String,
}

impl Server {
    /// Reads the URL; without a password in it, `PGPASSWORD` gives it. TLS as `sslmode` says; unsaid it is required, but on this
    /// machine, where it is not used.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn of(url: &str) -> Result<Self, JobError> {
        let unreadable = || JobError::surroundings("the database's URL cannot be read, expected `postgres://user@host/database`");
        // What is wrong is not told in its own words: they might hold a password.
        let mut config: Config = url.parse().map_err(|_| unreadable())?;
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        if !url.contains("sslmode=") {
            let here = |host: &Host| match host {
                Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]"),
                _ => true,
            };
            config.ssl_mode(if config.get_hosts().iter().all(here) { SslMode::Disable } else { SslMode::Require });
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if !url.contains("keepalives") {
            // A server that is gone without a word is noticed within a minute, not within hours.
            config.keepalives_idle(Duration::from_secs(30)).keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
        }
        if config.get_application_name().is_none() {
            config.application_name("fanfold");
        }
        let shown = format!("the database `{}`", config.get_dbname().or(config.get_user()).unwrap_or_default());
        Ok(Self { config, shown })
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Client, DbError> {
        let unreached = |error: &Error| {
            let mut told = trouble(error);
            told.text = format!("{}: {}", self.shown, told.text);
            told
        };
        if self.config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = self.config.connect(NoTls).await.map_err(|error| unreached(&error))?;
            tokio::spawn(connection);
            return Ok(client);
        }
        let (client, connection) = self.config.connect(tls()?).await.map_err(|error| unreached(&error))?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.shown)
    }
}

fn tls() -> Result<MakeRustlsConnect, DbError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_platform_verifier())
        .map_err(|error| DbError::surroundings(format!("TLS is not to be had: {error}")))?
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// What an error means: for a row, for another try, or for everybody.
pub(super) fn trouble(error: &Error) -> DbError {
    let Some(said) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(inner) = next {
            text.push_str(&format!(": {inner}"));
            next = inner.source();
        }
        let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        // A certificate that is not believed will not be believed the next time.
        let refused = io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData);
        let lost = error.is_closed() || io.is_some() || text.contains("timeout") || text.contains("timed out");
        return if lost && !refused { DbError::transient(text) } else { DbError::surroundings(text) };
    };
    let detail = said.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let text = format!("{}{detail}", said.message());
    let mut told = DbError { kind: kind_of(said.code().code()), text, row: None };
    told.row = said.where_().and_then(line).and_then(|line| line.checked_sub(1));
    told
}

/// What an error of this code means.
pub(super) fn kind_of(code: &str) -> DbErrorKind {
    match code {
        "40001" | "40P01" | "55P03" | "57P01" | "57P02" | "57P03" | "57P05" | "53300" => DbErrorKind::Transient,
        _ if code.starts_with("08") => DbErrorKind::Transient,
        "54000" => DbErrorKind::Row,
        _ if OF_THE_SERVER.iter().any(|class| code.starts_with(class)) => DbErrorKind::Surroundings,
        // A value, a constraint, or whatever a trigger raises, under a code of its own.
        _ => DbErrorKind::Row,
    }
}

/// The row that `COPY t, line 57` names, from 1.
fn line(place: &str) -> Option<usize> {
    let place = place.lines().find(|line| line.starts_with("COPY "))?;
    let (_, rest) = place.rsplit_once(", line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_a_copy_is_found_in_what_the_server_says() {
        assert_eq!(line("COPY t, line 57"), Some(57));
        assert_eq!(line("COPY \"a, line 3\", line 7, column x"), Some(7));
        assert_eq!(line("SQL statement \"SELECT 1\"\nPL/pgSQL function f() line 3 at RAISE\nCOPY t, line 2"), Some(2));
        assert_eq!(line("somewhere"), None);
    }

    #[test]
    fn other_machines_are_reached_by_tls_and_a_wrong_url_tells_no_password() {
        let mode = |url: &str| Server::of(url).unwrap().config.get_ssl_mode();
        assert_eq!(mode("postgres://ada@127.0.0.1/shop"), SslMode::Disable);
        assert_eq!(mode("postgres://ada@db.example.com/shop"), SslMode::Require);
        assert_eq!(mode("postgres://ada@db.example.com/shop?sslmode=disable"), SslMode::Disable);
        let error = Server::of("postgres://ada:se%zzcret@h/shop?what=1").unwrap_err();
        assert!(!error.cause().contains("cret"), "{error}");
    }
}
