//! The options of a call, `a{sv}`: each has a type, and one that nobody knows is an error.

use super::error::BusError;
use crate::image::text::printable;
use std::collections::HashMap;
use zbus::{OwnedVariant, Variant};

/// As they came. Each is taken out where it is looked at.
pub(super) type Written = HashMap<String, OwnedVariant>;

/// What of an unknown option's name is sent back, in bytes.
const SHOWN_MAX: usize = 64;

/// Options that have not been looked at yet.
#[derive(Debug)]
pub(super) struct Options {
    written: Written,
    known: Vec<&'static str>,
}

impl Options {
    pub(super) fn new(written: Written) -> Self {
        Self { written, known: Vec::new() }
    }

    /// A text, where it is given.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, BusError> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some(Variant::Str(text)) => Ok(Some(text.to_string())),
            Some(_) => Err(invalid(format!("Option \"{name}\" is a string."))),
        }
    }

    /// Texts; none where they are not given.
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, BusError> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(list) => {
                Vec::try_from(list).map_err(|_| invalid(format!("Option \"{name}\" is an array of strings.")))
            }
        }
    }

    /// A text, where it is given, as what it means.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, BusError> {
        let text = self.text(name)?;
        let parsed = text.map(|text| parse(&text)).transpose();
        parsed.map_err(|error| invalid(format!("Option \"{name}\": {error}")))
    }

    /// Whether something is asked for.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, BusError> {
        match self.take(name).as_deref() {
            None => Ok(false),
            Some(Variant::Bool(flag)) => Ok(*flag),
            Some(_) => Err(invalid(format!("Option \"{name}\" is a boolean."))),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), BusError> {
        let Some(unknown) = self.written.keys().min() else { return Ok(()) };
        let shown: String = printable(unknown.as_bytes()).chars().take(SHOWN_MAX).collect();
        let known = self.known.join(", ");
        Err(invalid(format!("Option \"{shown}\" is not known: use {known}.")))
    }

    fn take(&mut self, name: &'static str) -> Option<OwnedVariant> {
        self.known.push(name);
        self.written.remove(name)
    }
}

fn invalid(text: String) -> BusError {
    BusError::InvalidArgs(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(written: &[(&str, Variant<'_>)]) -> Options {
        let written = written.iter().map(|(name, value)| (name.to_string(), value.try_to_owned().unwrap()));
        Options::new(written.collect())
    }

    #[test]
    fn options_have_types_and_none_is_passed_over() {
        let mut given = options(&[("platform", "linux/arm64".into()), ("verify", true.into())]);
        assert_eq!(given.text("platform"), Ok(Some("linux/arm64".to_owned())));
        assert_eq!((given.flag("verify"), given.flag("quiet")), (Ok(true), Ok(false)));
        assert_eq!(given.end(), Ok(()));
        assert!(options(&[("verify", "yes".into())]).flag("verify").is_err());
        let mut given = options(&[("verify", true.into()), ("verfy", true.into())]);
        assert_eq!(given.flag("verify"), Ok(true));
        let told = "Option \"verfy\" is not known: use verify.".to_owned();
        assert_eq!(given.end(), Err(BusError::InvalidArgs(told)));
    }
}
