//! Symbols: those of Unicode where the locale has them, else what ASCII offers.

/// Which symbols can be printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// `●`, `├─`, `…`.
    #[default]
    Unicode,
    /// `*`, `|-`, `...`.
    Ascii,
}

/// The shape of the dot before a unit: it tells the state where colours cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dot {
    /// Up, or on its way.
    Filled,
    /// Down.
    Hollow,
    /// Failed.
    Cross,
    /// Reloading, or about to be started again.
    Turning,
}

impl Glyphs {
    /// Those of the locale, as systemd chooses: `$SYSTEMD_UTF8` decides, then locale(7); no locale at all is UTF-8.
    pub fn of_locale() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let wanted = variable("SYSTEMD_UTF8").and_then(|word| super::boolean(&word));
        let locale = || {
            let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
            ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set)
        };
        let unicode = wanted.unwrap_or_else(|| locale().is_none_or(|locale| is_utf8(&locale)));
        if unicode { Self::Unicode } else { Self::Ascii }
    }

    /// A dot.
    pub fn dot(self, dot: Dot) -> &'static str {
        match (self, dot) {
            (Self::Unicode, Dot::Filled) => "●",
            (Self::Unicode, Dot::Hollow) => "○",
            (Self::Unicode, Dot::Cross) => "×",
            (Self::Unicode, Dot::Turning) => "↻",
            (Self::Ascii, Dot::Filled | Dot::Hollow) => "*",
            (Self::Ascii, Dot::Cross) => "x",
            (Self::Ascii, Dot::Turning) => "u",
        }
    }

    /// Leads to an entry of a tree that has others below it.
    pub fn branch(self) -> &'static str {
        if self == Self::Unicode { "├─" } else { "|-" }
    }

    /// Leads to the last entry of a tree.
    pub fn last_branch(self) -> &'static str {
        if self == Self::Unicode { "└─" } else { "`-" }
    }

    /// Passes an entry of a tree that has others below it.
    pub fn rail(self) -> &'static str {
        if self == Self::Unicode { "│ " } else { "| " }
    }

    /// Stands for what was cut off.
    pub fn ellipsis(self) -> &'static str {
        if self == Self::Unicode { "…" } else { "..." }
    }
}

fn is_utf8(locale: &str) -> bool {
    let encoding = locale.split('@').next().and_then(|locale| locale.split_once('.')).map(|(_, name)| name);
    encoding.is_some_and(|name| name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Glyphs {
        Glyphs::of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_locale_decides() {
        assert_eq!(of(&[]), Glyphs::Unicode);
        assert_eq!(of(&[("LANG", "C.UTF-8")]), Glyphs::Unicode);
        assert_eq!(of(&[("LANG", "de_DE.utf8@euro")]), Glyphs::Unicode);
        assert_eq!(of(&[("LANG", "C")]), Glyphs::Ascii);
        assert_eq!(of(&[("LANG", "C.UTF-8"), ("LC_ALL", "POSIX")]), Glyphs::Ascii);
        assert_eq!(of(&[("LANG", "C.UTF-8"), ("LC_CTYPE", "")]), Glyphs::Unicode);
        assert_eq!(of(&[("LANG", "C"), ("SYSTEMD_UTF8", "yes")]), Glyphs::Unicode);
    }
}
