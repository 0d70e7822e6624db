//! Names and places of credentials, systemd.exec(5) `LoadCredential=`.

use super::word::AbsolutePath;
use super::written::{ValueError, Written};
use crate::unit::model::{CredentialPlace, IfMissing};

/// `NAME_MAX` of the kernel.
const NAME_MAX: usize = 255;

/// Whether a word can be the name of a credential: that of a file and of a descriptor at once, which is what
/// systemd demands.
pub fn is_credential_name(word: &str) -> bool {
    let valid = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && byte != b'/' && byte != b':';
    !word.is_empty() && word.len() <= NAME_MAX && word != "." && word != ".." && word.bytes().all(valid)
}

/// Where a credential is; `-` before it says that it may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSource {
    /// Where it is.
    pub place: CredentialPlace,
    /// What happens when it is not there.
    pub missing: IfMissing,
}

impl Written for CredentialSource {
    const EXPECTED: &'static str = "an absolute path, or the name of a credential of the host";

    fn read(text: &str) -> Result<Self, ValueError> {
        let (text, missing) = match text.strip_prefix('-') {
            Some(text) => (text, IfMissing::Ignore),
            None => (text, IfMissing::Fail),
        };
        let place = match text.starts_with('/') {
            true => CredentialPlace::Path(AbsolutePath::read(text)?.0),
            false if is_credential_name(text) => CredentialPlace::Name(text.to_owned()),
            false => {
                let message = format!("\"{text}\" is neither an absolute path nor the name of a credential");
                return Err(ValueError::new(message).with_help("begin a path with \"/\""));
            }
        };
        Ok(Self { place, missing })
    }
}

/// Names of credentials, with `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialPattern(pub String);

impl Written for CredentialPattern {
    const EXPECTED: &'static str = "names of credentials such as \"web.*\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        if is_credential_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(ValueError::new(format!("\"{text}\" is not the name of a credential"))
            .with_help("write it without \"/\" and \":\", such as \"web.*\""))
    }
}

/// What `systemd-creds encrypt` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedCredential(pub String);

impl Written for EncryptedCredential {
    const EXPECTED: &'static str = "what \"systemd-creds encrypt\" prints";

    fn read(text: &str) -> Result<Self, ValueError> {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        let text: String = text.split(|letter: char| letter.is_whitespace() || letter == '\\').collect();
        if !text.is_empty() && text.bytes().all(is_base64) {
            return Ok(Self(text));
        }
        // The text is not repeated: somebody may have written the secret itself.
        Err(ValueError::new("this is no encrypted credential in Base64")
            .with_help("write what \"systemd-creds encrypt --name=NAME FILE -\" prints"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_systemd_takes() {
        for good in ["db", "db-password", "a.b_c", "with space", "x*"] {
            assert!(is_credential_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "\u{e4}", "a\n", &"x".repeat(256)] {
            assert!(!is_credential_name(bad), "{bad}");
        }
    }

    #[test]
    fn encrypted_text_is_never_repeated() {
        assert_eq!(EncryptedCredential::read("ab+/\n  cd==\n").unwrap().0, "ab+/cd==");
        let refused = EncryptedCredential::read("hunter-2").unwrap_err();
        assert!(!format!("{refused}").contains("hunter"));
    }
}
