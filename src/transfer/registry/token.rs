//! Tokens: a registry names a service, the service gives a token for one repository (distribution's token
//! authentication and its OAuth 2 form).

use serde::Deserialize;
use std::io::Read as _;
use ureq::Body;
use ureq::http::{Method, Response, StatusCode, Uri, header};

use super::client::{Ask, Client, is_passing};
use super::error::{Failure, RegistryError};
use super::origin::Origin;
use super::secret::{Credentials, Secret, basic};
use crate::image::json;

/// Largest answer of a token service.
const ANSWER_MAX: u64 = 1 << 20;
/// What the OAuth 2 form calls us.
const CLIENT: &str = "sampan";

/// What a registry's challenge asks for.
#[derive(Debug)]
pub(super) struct Grant<'a> {
    pub(super) realm: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) scope: String,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<Secret>,
    access_token: Option<Secret>,
}

/// Asks the realm of a challenge for a token. Its answer is final: no redirect is followed.
///
/// # Errors
/// When the realm is forbidden, or gives none.
pub(super) fn request(
    client: &Client,
    grant: &Grant<'_>,
    credentials: Option<&Credentials>,
) -> Result<Secret, Failure> {
    let realm: Uri = grant.realm.parse().map_err(|_| client.led(grant.realm, "is no address"))?;
    let target = Origin::of(&realm).map_err(|reason| client.led(grant.realm, reason))?;
    client.home().may_lead_to(&target).map_err(|reason| client.led(grant.realm, reason))?;
    let answer = match credentials {
        Some(Credentials::Identity(token)) => client.send(refresh(realm, grant, token))?,
        Some(Credentials::Password { user, password }) => {
            let authorization = basic(user, password);
            client.send(Ask { authorization: Some(&authorization), ..Ask::get(with_query(&realm, grant)) })?
        }
        Some(Credentials::Bearer(_)) | None => client.send(Ask::get(with_query(&realm, grant)))?,
    };
    read(answer, &target, credentials.is_some())
}

/// A refresh token is spent by a form, so that no log of addresses holds it.
fn refresh<'a>(realm: Uri, grant: &Grant<'_>, token: &Secret) -> Ask<'a> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT),
        ("service", grant.service.unwrap_or_default()),
        ("scope", &grant.scope),
        ("refresh_token", token.expose()),
    ];
    let kind = (header::CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned());
    Ask {
        method: Method::POST,
        address: realm,
        headers: vec![kind],
        authorization: None,
        body: Some(encode(&form)),
    }
}

fn with_query(realm: &Uri, grant: &Grant<'_>) -> Uri {
    let mut pairs = vec![("scope", grant.scope.as_str())];
    pairs.extend(grant.service.map(|service| ("service", service)));
    let joint = if realm.query().is_some() { '&' } else { '?' };
    let address = format!("{realm}{joint}{}", encode(&pairs));
    address.parse().unwrap_or_else(|_| realm.clone())
}

/// `application/x-www-form-urlencoded`, with nothing left plain but the unreserved characters of RFC 3986.
fn encode(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        text.bytes().fold(String::new(), |mut escaped, byte| {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    escaped.push(char::from(byte))
                }
                byte => escaped.push_str(&format!("%{byte:02X}")),
            }
            escaped
        })
    };
    pairs.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

fn read(answer: Response<Body>, target: &Origin, knows_us: bool) -> Result<Secret, Failure> {
    let server = target.to_string();
    let status = answer.status();
    let what = "a token".to_owned();
    if status != StatusCode::OK {
        let reason = match knows_us {
            true => "it refuses the credentials that are configured for the registry".to_owned(),
            false => NO_CREDENTIALS.to_owned(),
        };
        return Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                RegistryError::Denied { server, what, reason }.into()
            }
            status => {
                let error =
                    RegistryError::Status { server, status: status.as_u16(), what, message: String::new() };
                if is_passing(status) { Failure::Passing(error, None) } else { Failure::Lasting(error) }
            }
        });
    }
    let mut bytes = Vec::new();
    let broken =
        |reason: String| Failure::Passing(RegistryError::Connection { server: server.clone(), reason }, None);
    answer
        .into_body()
        .into_reader()
        .take(ANSWER_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| broken(error.to_string()))?;
    let no_token = || RegistryError::Protocol { server: server.clone(), reason: "gives no token".to_owned() };
    let Answer { token, access_token } = json::parse(&bytes, "token").map_err(|_| no_token())?;
    let token = token.filter(|token| !token.is_empty()).or(access_token).filter(|token| !token.is_empty());
    Ok(token.ok_or_else(no_token)?)
}

/// What to do without credentials.
pub(super) const NO_CREDENTIALS: &str = "there is no such image, or it wants credentials, and none are configured for it: see sampan-registries(5)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        let grant = Grant { realm: "", service: Some("a b&c"), scope: "repository:x/y:pull".to_owned() };
        let address = with_query(&"https://auth.example/token?a=1".parse().unwrap(), &grant);
        assert_eq!(
            address.to_string(),
            "https://auth.example/token?a=1&scope=repository%3Ax%2Fy%3Apull&service=a%20b%26c"
        );
    }
}
