//! Where credentials are: files, directories and sockets of the host, and its credential stores.

use super::super::failure::During;
use super::super::protocol::StepError;
use super::super::step::CredentialStores;
use super::vault::Vault;
use super::{Bytes, LOAD, Patience, SIZE_MAX, decrypt::decrypt};
use crate::unit::model::CredentialForm;
use crate::unit::pattern;
use crate::unit::value::is_credential_name;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::{File, symlink_metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Base64 and a header: what is encrypted is longer than what it is.
const ENCRYPTED_MAX: usize = 2 * SIZE_MAX;
/// Of directories in each other.
const DEPTH_MAX: usize = 16;

/// Everything that is needed to read one.
pub struct Source<'a> {
    pub unit: &'a str,
    pub stores: &'a CredentialStores,
    pub patience: &'a Patience<'a>,
}

impl Source<'_> {
    /// Where a credential of the host is.
    pub fn find(&self, name: &str, form: CredentialForm) -> Option<PathBuf> {
        self.directories(form).iter().map(|directory| directory.join(name)).find(|path| path.exists())
    }

    fn directories(&self, form: CredentialForm) -> &[PathBuf] {
        match form {
            CredentialForm::Plain => &self.stores.plain,
            CredentialForm::Encrypted => &self.stores.encrypted,
        }
    }

    /// All credentials of the host that a pattern matches, the one that counts of each name first.
    pub fn matching(&self, pattern: &str) -> Vec<(String, PathBuf, CredentialForm)> {
        let mut found = Vec::new();
        for form in [CredentialForm::Plain, CredentialForm::Encrypted] {
            for directory in self.directories(form) {
                let mut names = names(directory).unwrap_or_default();
                names.retain(|name| is_credential_name(name) && pattern::matches(pattern, name));
                found.extend(names.into_iter().map(|name| (name.clone(), directory.join(&name), form)));
            }
        }
        found
    }

    /// Reads what is at a path: one credential, or one for each file of a directory.
    pub fn load(
        &self,
        name: &str,
        path: &Path,
        form: CredentialForm,
        vault: &mut Vault,
    ) -> Result<(), StepError> {
        let kind = path.metadata().during(LOAD, about(name, path))?.file_type();
        if kind.is_dir() {
            return self.load_directory(name, path, form, vault, DEPTH_MAX);
        }
        vault.put(name, &self.read(name, path, form)?)
    }

    /// Links are passed over, as are things that nobody can read to an end.
    fn load_directory(
        &self,
        name: &str,
        path: &Path,
        form: CredentialForm,
        vault: &mut Vault,
        depth: usize,
    ) -> Result<(), StepError> {
        if depth == 0 {
            return Err(Errno::LOOP).during(LOAD, about(name, path));
        }
        for entry in names(path).during(LOAD, about(name, path))? {
            let (name, path) = (format!("{name}_{entry}"), path.join(&entry));
            let kind = symlink_metadata(&path).during(LOAD, about(&name, &path))?.file_type();
            if kind.is_dir() {
                self.load_directory(&name, &path, form, vault, depth - 1)?;
            } else if kind.is_file() {
                if !is_credential_name(&name) {
                    return Err(Errno::INVAL).during(LOAD, about(&name, &path));
                }
                vault.put(&name, &self.read(&name, &path, form)?)?;
            }
        }
        Ok(())
    }

    fn read(&self, name: &str, path: &Path, form: CredentialForm) -> Result<Bytes, StepError> {
        let limit = match form {
            CredentialForm::Plain => SIZE_MAX,
            CredentialForm::Encrypted => ENCRYPTED_MAX,
        };
        let opened = self.open(name, path).during(LOAD, about(name, path))?;
        let bytes = self.patience.read(&opened, limit).during(LOAD, about(name, path))?;
        match form {
            CredentialForm::Plain => Ok(bytes),
            CredentialForm::Encrypted => self.decrypt(name, &bytes, &about(name, path)),
        }
    }

    fn open(&self, name: &str, path: &Path) -> io::Result<OwnedFd> {
        let kind = path.metadata()?.file_type();
        if kind.is_socket() {
            return self.connect(name, path);
        }
        // A FIFO or a device has no end.
        if kind.is_file() { Ok(File::open(path)?.into()) } else { Err(Errno::NOTSUP.into()) }
    }

    /// The name of our end tells who asks for what: one socket can serve many units.
    fn connect(&self, name: &str, path: &Path) -> io::Result<OwnedFd> {
        let mut random = [0; 8];
        getrandom(&mut random, GetRandomFlags::empty())?;
        let ours = format!("{:016x}/unit/{}/{name}", u64::from_ne_bytes(random), self.unit);
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&stream, &SocketAddrUnix::new_abstract_name(ours.as_bytes())?)?;
        connect(&stream, &SocketAddrUnix::new(path)?)?;
        Ok(stream)
    }

    /// Decrypts what was read of a credential.
    pub fn decrypt(&self, name: &str, encrypted: &[u8], subject: &str) -> Result<Bytes, StepError> {
        decrypt(&self.stores.decrypt, name, encrypted, self.patience).during("decrypt credential", subject)
    }
}

fn about(name: &str, path: &Path) -> String {
    format!("{name}: {}", path.display())
}

/// Names in a directory, sorted. Those that are no text cannot be those of credentials.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<String> =
        entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
