//! What was probably meant by a word that nobody knows.

/// The candidate nearest to `word`, if any is near enough to be a likely slip of the pen.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let written = plain(word.get(..64).unwrap_or(word));
    let reach = match written.len() {
        0..=3 => 1,
        4..=5 => 2,
        _ => 3,
    };
    let letters = written.chars().count();
    // As many letters more or less are as many slips.
    let is_in_reach = |candidate: &&str| candidate.chars().count().abs_diff(letters) <= reach;
    candidates
        .into_iter()
        .filter(is_in_reach)
        .map(|candidate| (strsim::damerau_levenshtein(&written, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= reach && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "exec"?`, or a list of all that there is.
pub fn help(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean \"{candidate}\"?"),
        None => format!("use {}", list(candidates)),
    }
}

/// The words of a command line, as a shell takes it apart that knows quotes and nothing else.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) = Default::default();
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// `"a", "b" or "c"`.
pub fn list(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => format!("\"{one}\""),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|word| format!("\"{word}\"")).collect();
            format!("{} or \"{last}\"", most.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_other_words_are_not() {
        let keys = ["memory_max", "memory_high", "image", "user"];
        assert_eq!(nearest("memory_maxx", keys), Some("memory_max"));
        assert_eq!(nearest("MemoryMax", keys), Some("memory_max"));
        assert_eq!(nearest("imgae", keys), Some("image"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("web", ["dev"]), None, "two letters of three are no slip");
        assert_eq!(words("nginx -g 'daemon off;' \"\""), ["nginx", "-g", "daemon off;", ""]);
        assert_eq!(help("colour", &["fd", "swap"]), "use \"fd\" or \"swap\"");
    }
}
