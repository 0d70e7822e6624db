//! Texts that must not be seen: no message and no log shows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A password or a token.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one server that it is meant for.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// What proves to one registry who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A user's name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token for the token service, OAuth 2 (RFC 6749 section 6).
    Identity(Secret),
    /// A token for the registry itself.
    Bearer(Secret),
}

/// The value of an `Authorization` header with a name and a password, RFC 7617.
pub(super) fn basic(user: &str, password: &Secret) -> Secret {
    Secret(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
}

/// The value of an `Authorization` header with a token, RFC 6750.
pub(super) fn bearer(token: &Secret) -> Secret {
    Secret(format!("Bearer {}", token.expose()))
}

/// A name and a password as `auth` keys hold them: base64 of both, with a colon between.
pub(super) fn decode(text: &str) -> Option<(String, Secret)> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    // Old files end in NUL bytes.
    Some((user.to_owned(), Secret::new(password.trim_end_matches('\0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials::Password { user: "me".to_owned(), password: Secret::new("hunter2") };
        assert!(!format!("{credentials:?}").contains("hunter2"));
        assert_eq!(basic("me", &Secret::new("a:b")).expose(), "Basic bWU6YTpi");
        assert_eq!(decode("bWU6YTpi"), Some(("me".to_owned(), Secret::new("a:b"))));
        assert_eq!(decode("bWU"), None);
    }
}
