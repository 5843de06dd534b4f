//! [`Database`]: which database is meant.

use std::path::PathBuf;

use crate::job::ConfigError;

/// Which database is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Database {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server, by URL.
    Postgres(String),
}

impl Database {
    /// Reads what a workflow says; a password is refused.
    ///
    /// # Errors
    /// No database that is known, or a password.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let database = Self::resolved(text)?;
        if let Self::Postgres(url) = &database
            && has_password(url)
        {
            let error =
                ConfigError::new("database", "the URL has a password in it, which would be shown and stored with the run");
            return Err(
                error.hint("take it out and set PGPASSWORD, or declare it under `secrets` and write `{{ secrets.NAME }}`")
            );
        }
        Ok(database)
    }

    /// The same with a password where secrets were filled in.
    ///
    /// # Errors
    /// No database that is known.
    pub fn resolved(text: &str) -> Result<Self, ConfigError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_string()));
        }
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(text);
        if let Some((scheme, _)) = path.split_once("://") {
            let detail = format!("`{scheme}://` is no database that is known here");
            return Err(
                ConfigError::new("database", detail).hint("the path of an SQLite file, or `postgres://user@host/database`")
            );
        }
        if path.is_empty() {
            return Err(ConfigError::new("database", "an empty text is no database")
                .hint("the path of an SQLite file, or `postgres://user@host/database`"));
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

fn has_password(url: &str) -> bool {
    let in_front = url::Url::parse(url).is_ok_and(|url| url.password().is_some());
    let behind = url.split_once('?').is_some_and(|(_, query)| query.split('&').any(|part| part.starts_with("password=")));
    in_front || behind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_are_told_apart_and_passwords_refused() {
        let path = |text: &str| Database::Sqlite(PathBuf::from(text));
        assert_eq!(Database::parse("/a/b.db"), Ok(path("/a/b.db")));
        assert_eq!(Database::parse("sqlite:/a/b.db"), Ok(path("/a/b.db")));
        assert_eq!(Database::parse("sqlite:///a/b.db"), Ok(path("/a/b.db")));
        assert!(matches!(Database::parse("postgres://ada@h/shop"), Ok(Database::Postgres(_))));
        for wrong in ["mysql://h/shop", "", "sqlite:", "postgres://ada:secret@h/shop", "postgres://h/shop?password=secret"] {
            let error = Database::parse(wrong).unwrap_err();
            assert!(error.hint.is_some() && !error.detail.contains("secret@"), "{wrong}: {error}");
        }
    }
}
