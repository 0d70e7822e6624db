//! Shell patterns over unit names, glob(7): `*`, `?` and `[a-z]`.

/// Whether a word is a pattern.
pub fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// Whether a pattern matches the whole name.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    matches_from(&pattern, &name)
}

/// Whether any of the words is the name (`web` is `web.container`) or matches it; no words match everything.
pub fn matches_any(words: &[String], name: &str) -> bool {
    let matches_word = |word: &String| {
        let container = || name.strip_suffix(".container") == Some(word.as_str());
        matches(word, name) || container()
    };
    words.is_empty() || words.iter().any(matches_word)
}

/// Only the last `*` seen is ever tried again, so the time is at most the product of the lengths.
fn matches_from(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at + 1, from));
            at += 1;
        } else if let Some(length) = one(&pattern[at..], name[from]) {
            at += length;
            from += 1;
        } else if let Some((after_star, tried)) = star {
            star = Some((after_star, tried + 1));
            (at, from) = (after_star, tried + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// The length of the first element of the pattern if it matches the letter.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => set(pattern, letter),
        first => (*first == letter).then_some(1),
    }
}

/// `[abc]`, `[a-z]`, `[!abc]`; a bracket that is never closed stands for itself.
fn set(pattern: &[char], letter: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    // A closing bracket in the first place is a member of the set.
    let Some(length) = pattern.iter().skip(start + 1).position(|letter| *letter == ']') else {
        return (letter == '[').then_some(1);
    };
    let end = start + 1 + length;
    let (mut at, mut found) = (start, false);
    while at < end {
        if pattern[at + 1] == '-' && at + 2 < end {
            found |= (pattern[at]..=pattern[at + 2]).contains(&letter);
            at += 3;
        } else {
            found |= pattern[at] == letter;
            at += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name) in [
            ("web*", "web.container"),
            ("*.target", "blog.target"),
            ("w?b.*", "web.container"),
            ("web@[a-c1].container", "web@b.container"),
            ("web@[!a-c].container", "web@d.container"),
            ("*a*a*", "banana.target"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("web", "web.container"), ("w?b", "web.container"), ("[!w]*", "web.container")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_bare_word_means_the_container() {
        assert!(matches_any(&["web".to_owned()], "web.container"));
        assert!(!matches_any(&["web".to_owned()], "web.target"));
        assert!(matches_any(&[], "web.target"));
    }
}
