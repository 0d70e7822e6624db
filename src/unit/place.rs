//! Where a unit that has been loaded says something, found when there is something to say about it.

use super::assemble;
use super::diagnostic::{Diagnostic, Severity};
use super::model::Unit;
use super::tree::Mark;

/// Where a unit says something.
#[derive(Debug)]
pub struct Place<'u> {
    unit: &'u Unit,
    mark: Option<Mark>,
}

impl<'u> Place<'u> {
    /// The value at `way`, or the item of it that reads `item`; the unit as a whole where its files do not say it.
    /// The files are read for it again: nobody keeps the places of what is right.
    pub fn of(unit: &'u Unit, way: &[&str], item: Option<&str>) -> Self {
        Self { unit, mark: assemble::find(unit, way, item) }
    }

    /// A warning about it.
    pub fn warning(&self, message: impl AsRef<str>) -> Diagnostic {
        match &self.mark {
            Some(mark) => mark.diagnostic(Severity::Warning, message),
            None => {
                let path = self.unit.fragment.clone().unwrap_or_else(|| self.unit.name.file_name().into());
                Diagnostic::of_file(Severity::Warning, &path, message)
            }
        }
    }

    /// Adds this place to a diagnostic about another one.
    pub fn note(&self, diagnostic: Diagnostic, message: &str) -> Diagnostic {
        match &self.mark {
            Some(mark) => diagnostic.with_note(message, Some((&mark.source, mark.span.clone()))),
            None => diagnostic.with_note(message, None),
        }
    }
}
