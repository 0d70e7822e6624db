//! `WWW-Authenticate`: how a registry wants to be convinced, RFC 9110 section 11.6.1.

/// A way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user's name and password, RFC 7617.
    Basic,
    /// A token that another service gives out.
    Bearer {
        /// The address of that service.
        realm: String,
        /// What it calls the registry.
        service: Option<String>,
        /// What the token shall allow.
        scope: Option<String>,
    },
}

/// The challenges of a header that we can answer, in its order.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut schemes: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    while let Some((token, after)) = token(rest) {
        match after.trim_start().strip_prefix('=') {
            Some(value) => {
                let Some((value, after)) = value_of(value.trim_start()) else { break };
                if let Some((_, parameters)) = schemes.last_mut() {
                    parameters.push((token.to_ascii_lowercase(), value));
                }
                rest = after;
            }
            None => {
                schemes.push((token.to_ascii_lowercase(), Vec::new()));
                rest = after;
            }
        }
    }
    schemes.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let value = |name: &str| {
        parameters
            .iter()
            .find(|(other, value)| other == name && !value.is_empty())
            .map(|(_, value)| value.clone())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: value("realm")?,
            service: value("service"),
            scope: value("scope"),
        }),
        _ => None,
    }
}

/// The next token, after commas and spaces.
fn token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([',', ' ', '\t']);
    let is_token =
        |character: char| character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character);
    let end = text.find(|character| !is_token(character)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token or a quoted string, in which a backslash quotes the next character.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_real_registries_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        assert_eq!(
            parse(
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#
            ),
            [bearer(
                "https://auth.example/token",
                Some("registry.example"),
                Some("repository:a/b:pull,push")
            )]
        );
        assert_eq!(parse(r#"Basic realm="Registry, \"inner\"""#), [Challenge::Basic]);
        assert_eq!(
            parse(r#"Negotiate, Basic realm="x", bearer Realm = "https://t.example/""#),
            [Challenge::Basic, bearer("https://t.example/", None, None)]
        );
    }

    #[test]
    fn what_is_broken_is_no_challenge() {
        for header in [
            "",
            "Bearer",
            r#"Bearer realm="https://x"#,
            "Digest realm=x",
            "=,=,",
            r#"Bearer service="x""#,
            "é",
        ] {
            assert_eq!(parse(header), [], "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_server_says_is_read(header in "(Bearer|Basic|[ -~]{0,8}|[ ,=\"\\\\]|realm){0,12}") {
            parse(&header);
        }
    }
}
