//! Where an image may come from: the policy of the host by names, and signatures that prove a name's image.
//!
//! A signature is one of cosign's with a key: a "simple signing" document that names a repository and a manifest's
//! digest, signed with ECDSA on P-256 and SHA-256. It is found beside the image under the name `sha256-HEX.sig`.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::digest::Digest;
use super::json;
use super::reference::Reference;

/// What the host accepts, `sampan-policy.toml(5)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// For names that no prefix fits.
    pub default: Rule,
    /// By registry, or registry and path; the longest that fits counts.
    pub prefixes: BTreeMap<String, Rule>,
}

/// What is asked of the images of some names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// Nothing.
    Accept,
    /// That they stay away.
    Reject,
    /// A signature by one of these keys.
    Signed(Vec<PublicKey>),
}

/// A key that signs images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey(Vec<u8>);

/// A signature as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The signed document.
    pub payload: Vec<u8>,
    /// The signature, DER.
    pub bytes: Vec<u8>,
}

/// Why an image may not have a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OriginError {
    /// The policy rejects the name.
    #[error("{name}: the policy rejects {prefix}, see sampan-policy.toml(5)")]
    Rejected {
        /// The name.
        name: String,
        /// What of the policy fits it.
        prefix: String,
    },
    /// The policy wants a signature, and none is good.
    #[error("{name}: the policy wants a signature for {prefix}: {reason}")]
    Unsigned {
        /// The name.
        name: String,
        /// What of the policy fits it.
        prefix: String,
        /// What is wrong with those that were found.
        reason: &'static str,
    },
}

impl Default for Policy {
    fn default() -> Self {
        Self { default: Rule::Accept, prefixes: BTreeMap::new() }
    }
}

impl Policy {
    /// Checks that an image may have a name. `signatures` gives what signs any of its digests.
    ///
    /// # Errors
    /// When the policy rejects the name, or no signature is good.
    pub fn check(
        &self,
        name: &Reference,
        digests: &[Digest],
        signatures: &[Signature],
    ) -> Result<(), OriginError> {
        let (prefix, rule) = self.rule(name);
        match rule {
            Rule::Accept => Ok(()),
            Rule::Reject => Err(OriginError::Rejected { name: name.to_string(), prefix: prefix.to_owned() }),
            Rule::Signed(keys) => {
                let verdicts = signatures.iter().map(|signature| signature.proves(name, digests, keys));
                let best = verdicts.max_by_key(Result::is_ok).unwrap_or(Err("there is none with the image"));
                best.map_err(|reason| OriginError::Unsigned {
                    name: name.to_string(),
                    prefix: prefix.to_owned(),
                    reason,
                })
            }
        }
    }

    /// Whether a name asks for a signature: only then they need to be looked for.
    pub fn wants_signature(&self, name: &Reference) -> bool {
        matches!(self.rule(name), (_, Rule::Signed(_)))
    }

    fn rule(&self, name: &Reference) -> (&str, &Rule) {
        let is_prefix = |prefix: &str| {
            name.name().strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let fitting = self.prefixes.iter().filter(|(prefix, _)| is_prefix(prefix));
        let longest = fitting.max_by_key(|(prefix, _)| prefix.len());
        longest.map_or(("all names", &self.default), |(prefix, rule)| (prefix, rule))
    }
}

impl PublicKey {
    /// Reads a key as `openssl ec -pubout` and `cosign generate-key-pair` write it: PEM of a key on P-256.
    ///
    /// # Errors
    /// A sentence, when it is not one.
    pub fn parse(pem: &str) -> Result<Self, &'static str> {
        use base64::Engine as _;
        let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----");
        let body = body.and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"));
        let body: String = body.ok_or("is not a public key in PEM")?.split_whitespace().collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body).map_err(|_| "is not valid PEM")?;
        let point = der.strip_prefix(P256).filter(|point| point.len() == 65 && point[0] == 4);
        point.map(|point| Self(point.to_vec())).ok_or("is not a key on the curve P-256")
    }
}

/// What precedes the point of a P-256 key in DER, RFC 5480: `SEQUENCE { SEQUENCE { ecPublicKey, prime256v1 }, BIT
/// STRING`.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    identity: Identity,
    image: Image,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

impl Signature {
    /// The signature comes before anything that it covers is looked at.
    fn proves(&self, name: &Reference, digests: &[Digest], keys: &[PublicKey]) -> Result<(), &'static str> {
        let verifies = |key: &PublicKey| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.0).verify(&self.payload, &self.bytes).is_ok()
        };
        if !keys.iter().any(verifies) {
            return Err("none is by a key of the policy");
        }
        let payload: Payload = json::parse(&self.payload, "signature")
            .map_err(|_| "what is signed is no signature of an image")?;
        let Critical { kind, identity, image } = payload.critical;
        if kind != "cosign container image signature" {
            return Err("what is signed is no signature of an image");
        }
        if !digests.contains(&image.docker_manifest_digest) {
            return Err("it is for another image");
        }
        // Whoever serves images could else give one signed image the name of another.
        match Reference::from_docker(&identity.docker_reference) {
            Ok(signed) if signed.name() == name.name() => Ok(()),
            _ => Err("it is for another name"),
        }
    }
}

/// The name under which the signatures of a digest are kept.
pub fn signature_tag(digest: &Digest) -> String {
    format!("{}.sig", digest.to_string().replace(':', "-"))
}

/// Whether a tag is that of signatures and not of an image.
pub fn is_signature_tag(tag: &str) -> bool {
    let digest = tag.strip_suffix(".sig").and_then(|text| text.split_once('-'));
    digest.is_some_and(|(algorithm, hex)| Digest::parse(&format!("{algorithm}:{hex}")).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn openssl(arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A key of openssl's and a signature with it over a document like cosign's.
    fn signed(reference: &str, digest: &Digest) -> (PublicKey, Signature) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let curve = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"];
        openssl(&[&curve[..], &[&path("key")]].concat());
        let pem = String::from_utf8(openssl(&["ec", "-in", &path("key"), "-pubout"])).unwrap();
        let payload = serde_json::json!({ "critical": { "type": "cosign container image signature",
            "identity": { "docker-reference": reference },
            "image": { "docker-manifest-digest": digest.to_string() } }, "optional": null });
        std::fs::write(path("payload"), payload.to_string()).unwrap();
        let bytes = openssl(&["dgst", "-sha256", "-sign", &path("key"), &path("payload")]);
        (PublicKey::parse(&pem).unwrap(), Signature { payload: payload.to_string().into_bytes(), bytes })
    }

    #[test]
    fn a_signature_proves_one_image_of_one_name_by_one_key() {
        let (digest, other) = (Digest::of(b"manifest"), Digest::of(b"other"));
        let (key, signature) = signed("index.docker.io/library/web", &digest);
        let (stranger, _) = signed("docker.io/library/web", &digest);
        let policy =
            |key: &PublicKey| Policy { default: Rule::Signed(vec![key.clone()]), ..Policy::default() };
        let web = Reference::parse("docker.io/library/web:1").unwrap();
        let db = Reference::parse("docker.io/library/db:1").unwrap();
        let check = |policy: Policy, name: &Reference, digest: &Digest, signatures: &[Signature]| {
            policy.check(name, std::slice::from_ref(digest), signatures).map_err(|error| error.to_string())
        };
        let one = std::slice::from_ref(&signature);
        assert_eq!(check(policy(&key), &web, &digest, one), Ok(()));
        let mut torn = signature.clone();
        torn.payload[0] ^= 1;
        for (policy, name, digest, signatures, reason) in [
            (policy(&key), &web, &digest, &[][..], "none with the image"),
            (policy(&stranger), &web, &digest, one, "by a key of the policy"),
            (policy(&key), &web, &other, one, "another image"),
            (policy(&key), &db, &digest, one, "another name"),
            (policy(&key), &web, &digest, std::slice::from_ref(&torn), "by a key of the policy"),
        ] {
            let error = check(policy, name, digest, signatures).unwrap_err();
            assert!(error.contains(reason), "{error} is not about {reason}");
        }
    }

    #[test]
    fn the_longest_prefix_counts_and_ends_at_a_slash() {
        let rules = [("docker.io", Rule::Reject), ("docker.io/library", Rule::Accept)];
        let prefixes = rules.map(|(prefix, rule)| (prefix.to_owned(), rule)).into();
        let policy = Policy { default: Rule::Accept, prefixes };
        let check = |name: &str| policy.check(&Reference::parse(name).unwrap(), &[], &[]).is_ok();
        assert!(check("docker.io/library/web") && check("localhost/web"));
        assert!(!check("docker.io/evil/web") && !check("docker.io/libraryx/web"));
    }

    #[test]
    fn keys_are_p256_in_pem_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key").to_str().unwrap().to_owned();
        openssl(&["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", &path]);
        let pem = String::from_utf8(openssl(&["ec", "-in", &path, "-pubout"])).unwrap();
        assert_eq!(PublicKey::parse(&pem), Err("is not a key on the curve P-256"));
        assert!(PublicKey::parse("").is_err() && PublicKey::parse(&pem[..40]).is_err());
        let digest = Digest::of(b"x");
        assert!(is_signature_tag(&signature_tag(&digest)) && !is_signature_tag("sha256-x.sig"));
    }
}
