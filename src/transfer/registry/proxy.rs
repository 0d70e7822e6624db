//! Proxies of the environment: `$HTTPS_PROXY`, `$HTTP_PROXY`, `$ALL_PROXY` and `$NO_PROXY`, as curl(1) reads them.

use ureq::Proxy;

use super::error::RegistryError;
use super::origin::Scheme;

/// No proxy stands between this machine and itself.
const NEVER: [&str; 4] = ["localhost", "127.*", "[::1]", "::1"];

/// The proxy for addresses of a scheme.
///
/// # Errors
/// When a variable holds something else than the address of a proxy.
pub(super) fn proxy(scheme: Scheme) -> Result<Option<Proxy>, RegistryError> {
    let names: &[&str] = match scheme {
        Scheme::Https => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        Scheme::Http => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let Some((name, address)) = names.iter().find_map(|name| Some((*name, variable(name)?))) else {
        return Ok(None);
    };
    let wrong =
        |error: ureq::Error| RegistryError::File { file: format!("${name}"), reason: error.to_string() };
    let proxy = Proxy::new(&address).map_err(wrong)?;
    let except = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let Some(user) = proxy.username() {
        builder = builder.username(user);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    let except = except.split([',', ' ']).filter(|host| !host.is_empty());
    for host in NEVER.into_iter().chain(except) {
        // A name stands for all names below it, too.
        let below = host.starts_with(|letter: char| letter.is_ascii_alphabetic()).then(|| format!(".{host}"));
        builder = builder.no_proxy(host);
        builder = below.iter().fold(builder, |builder, below| builder.no_proxy(below));
    }
    builder.build().map(Some).map_err(wrong)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
