//! Which known word an unknown one was probably meant to be.

/// The known word nearest to the one written, if any is near enough to be meant.
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = bare(written);
    known
        .into_iter()
        .filter_map(|word| distance(&plain, &bare(word)).map(|distance| (distance, word)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// "did you mean ...", or else all that is known.
pub(super) fn remedy<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str> + Clone,
) -> String {
    match nearest(written, known.clone()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("use {}", one_of(known)),
    }
}

/// "`a`", "`a` or `b`", "one of `a`, `b`, `c`".
pub(super) fn one_of<'k>(words: impl IntoIterator<Item = &'k str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [one] => one.clone(),
        [one, other] => format!("{one} or {other}"),
        _ => format!("one of {}", quoted.join(", ")),
    }
}

/// Case and separators are what people most often get wrong, so they weigh nothing.
fn bare(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// `None` if it is too far: more than a third of the letters differ, and it is no beginning either.
fn distance(written: &str, known: &str) -> Option<usize> {
    let (written_len, known_len) = (written.chars().count(), known.chars().count());
    let differ = strsim::osa_distance(written, known);
    let allowed = (written_len.max(known_len) / 3).min(3);
    // Versions and statuses differ in one digit and yet are not misspelt.
    let is_name = known.contains(char::is_alphabetic);
    if is_name && differ <= allowed && differ < written_len.min(known_len) {
        return Some(differ);
    }
    let begins = written_len >= 3 && known.starts_with(written);
    // Behind every misspelling.
    begins.then_some(allowed + known_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = ["address", "tls", "protocols", "body_size", "certificates", "url"];

    #[test]
    fn a_near_miss_is_found() {
        for (written, meant) in [
            ("adress", "address"),
            ("TLS", "tls"),
            ("tsl", "tls"),
            ("protocol", "protocols"),
            ("bodySize", "body_size"),
            ("body-size", "body_size"),
            ("cert", "certificates"),
            ("uri", "url"),
        ] {
            assert_eq!(nearest(written, KNOWN), Some(meant), "{written}");
        }
    }

    #[test]
    fn what_is_far_from_everything_gets_the_list() {
        assert_eq!(nearest("upstream", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
        assert_eq!(nearest("x", KNOWN), None);
        assert_eq!(nearest("oops", ["cors"]), None);
        assert_eq!(nearest("1.1", ["1.2"]), None);
        assert_eq!(remedy("zebra", ["a", "b", "c"]), "use one of `a`, `b`, `c`");
        assert_eq!(remedy("zebra", ["a", "b"]), "use `a` or `b`");
    }
}
