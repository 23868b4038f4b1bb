//! How go-yaml v2 writes one string: plain, quoted or as a literal block, folded at 80 columns.

const WIDTH: usize = 80;

/// A string as a mapping key: always on one line.
pub(super) fn key(text: &str) -> String {
    let allowed = analyse(text);
    if text.contains('\n') {
        return double_quoted(text, None);
    }
    match style(text, &allowed) {
        Style::Plain if text.is_empty() => "''".to_owned(),
        Style::Plain => text.to_owned(),
        Style::Single => single_quoted(text, None),
        Style::Double | Style::Literal => double_quoted(text, None),
    }
}

/// A string as a value whose further lines start at `indent`; `column` is where it begins.
pub(super) fn value(text: &str, indent: usize, column: usize) -> String {
    let fold = Some(Fold { indent, column });
    match style(text, &analyse(text)) {
        Style::Plain => plain(text, indent, column),
        Style::Single => single_quoted(text, fold),
        Style::Double => double_quoted(text, fold),
        Style::Literal => literal(text, indent),
    }
}

enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

struct Allowed {
    plain: bool,
    single: bool,
    block: bool,
}

#[derive(Clone, Copy)]
struct Fold {
    indent: usize,
    column: usize,
}

fn style(text: &str, allowed: &Allowed) -> Style {
    if text.contains('\n') {
        return if allowed.block { Style::Literal } else { Style::Double };
    }
    if !is_string(text) {
        return Style::Double;
    }
    match (allowed.plain, allowed.single) {
        (true, _) => Style::Plain,
        (false, true) => Style::Single,
        (false, false) => Style::Double,
    }
}

/// libyaml's `yaml_emitter_analyze_scalar`, for block context.
fn analyse(text: &str) -> Allowed {
    let blank = |c: Option<&char>| c.is_none_or(|c| matches!(c, ' ' | '\t'));
    let blank_or_break = |c: char| matches!(c, ' ' | '\t' | '\0') || is_break(c);
    let chars: Vec<char> = text.chars().collect();
    let mut indicators = text.starts_with("---") || text.starts_with("...");
    let (mut special, mut break_then_space, mut space_then_break) = (false, false, false);
    for (at, c) in chars.iter().copied().enumerate() {
        let followed = blank(chars.get(at + 1));
        let preceded = at == 0 || blank_or_break(chars[at - 1]);
        indicators |= match c {
            '#' => preceded,
            ':' => followed,
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                at == 0
            }
            '?' | '-' => at == 0 && followed,
            _ => false,
        };
        special |= !is_printable(c);
        let before = at.checked_sub(1).map(|before| chars[before]);
        break_then_space |= c == ' ' && before.is_some_and(is_break);
        space_then_break |= is_break(c) && before == Some(' ');
    }
    let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
    let edges = edge(chars.first()) || edge(chars.last());
    let breaks = chars.iter().copied().any(is_break);
    let bad = break_then_space || space_then_break || special;
    Allowed {
        plain: !(indicators || edges || breaks || bad),
        single: !bad,
        block: !(text.is_empty() || chars.last() == Some(&' ') || space_then_break || special),
    }
}

fn plain(text: &str, indent: usize, mut column: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut spaces = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == ' ' && !spaces && column > WIDTH && chars.peek() != Some(&' ') {
            fold_line(&mut out, indent, &mut column);
        } else {
            out.push(c);
            column += 1;
        }
        spaces = c == ' ';
    }
    out
}

fn single_quoted(text: &str, fold: Option<Fold>) -> String {
    let mut out = String::from("'");
    let (indent, mut column) = fold.map_or((0, 0), |fold| (fold.indent, fold.column + 1));
    let mut spaces = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next_is_space = chars.peek().is_some_and(|(_, next)| *next == ' ');
        let inside = at > 0 && at + 1 < text.len();
        if c == ' ' && fold.is_some() && !spaces && column > WIDTH && inside && !next_is_space {
            fold_line(&mut out, indent, &mut column);
        } else {
            if c == '\'' {
                out.push('\'');
                column += 1;
            }
            out.push(c);
            column += 1;
        }
        spaces = c == ' ';
    }
    out.push('\'');
    out
}

fn double_quoted(text: &str, fold: Option<Fold>) -> String {
    let mut out = String::from("\"");
    let (indent, mut column) = fold.map_or((0, 0), |fold| (fold.indent, fold.column + 1));
    let mut spaces = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let inside = at > 0 && at + 1 < text.len();
        if !is_printable(c) || is_break(c) || matches!(c, '"' | '\\' | '\u{feff}') {
            let escaped = escape(c);
            column += escaped.len();
            out.push_str(&escaped);
        } else if c == ' ' && fold.is_some() && !spaces && column > WIDTH && inside {
            fold_line(&mut out, indent, &mut column);
            if chars.peek().is_some_and(|(_, next)| *next == ' ') {
                out.push('\\');
                column += 1;
            }
        } else {
            out.push(c);
            column += 1;
        }
        spaces = c == ' ';
    }
    out.push('"');
    out
}

fn literal(text: &str, indent: usize) -> String {
    let mut out = String::from("|");
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let without = text.strip_suffix('\n');
    match without {
        None => out.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    for line in without.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
    if without.is_some() {
        out.push('\n');
    }
    out
}

fn fold_line(out: &mut String, indent: usize, column: &mut usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
    *column = indent;
}

fn escape(c: char) -> String {
    match c {
        '\0' => "\\0".into(),
        '\u{7}' => "\\a".into(),
        '\u{8}' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\u{b}' => "\\v".into(),
        '\u{c}' => "\\f".into(),
        '\r' => "\\r".into(),
        '\u{1b}' => "\\e".into(),
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{85}' => "\\N".into(),
        '\u{a0}' => "\\_".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        c if u32::from(c) <= 0xFF => format!("\\x{:02X}", u32::from(c)),
        c if u32::from(c) <= 0xFFFF => format!("\\u{:04X}", u32::from(c)),
        c => format!("\\U{:08X}", u32::from(c)),
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// go-yaml's idea of printable: nothing beyond the basic plane, no tab.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Whether the text, unquoted, is read back as a string.
fn is_string(text: &str) -> bool {
    const WORDS: [&str; 36] = [
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On",
        "ON", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN",
        ".NAN", ".inf", ".Inf", ".INF", "<<", "+.inf", "-.inf",
    ];
    let signed = ["+.Inf", "+.INF", "-.Inf", "-.INF"];
    if WORDS.contains(&text) || signed.contains(&text) {
        return false;
    }
    match text.as_bytes().first() {
        Some(b'.') => !is_float(text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let bare = text.replace('_', "");
            !(is_timestamp(text) || is_base_60(text) || is_integer(&bare) || is_float(&bare))
        }
        _ => true,
    }
}

/// What Go's ParseInt or ParseUint with base 0 takes; underscores are gone already.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    !digits.starts_with(['+', '-']) && u64::from_str_radix(digits, radix).is_ok()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    mantissa_fits && exponent_fits
}

/// Sexagesimal numbers of YAML 1.1 (`1:30`), quoted for old readers.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = whole.split(':');
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let first =
        parts.next().is_some_and(|first| first.starts_with(|c: char| c.is_ascii_digit()) && number(first));
    let mut minutes = 0;
    let rest = parts.all(|part| {
        minutes += 1;
        matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    });
    first && rest && minutes > 0 && number(fraction)
}

/// A date, or a date with a time as Kubernetes writes it: the timestamps that go-yaml would resolve.
fn is_timestamp(text: &str) -> bool {
    if text.as_bytes().get(4) != Some(&b'-') || !text.bytes().take(4).all(|b| b.is_ascii_digit()) {
        return false;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let number = |text: &str, most: u32| {
        (1..=2).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|value| value <= most)
    };
    let mut parts = date.split('-').skip(1);
    let date_fits = parts.next().is_some_and(|month| number(month, 12))
        && parts.next().is_some_and(|day| number(day, 31))
        && parts.next().is_none();
    let time_fits = time.is_none_or(|time| {
        let clock = time.trim_end_matches('Z');
        let clock = clock.split_once(['+', '-']).map_or(clock, |(clock, _)| clock);
        let clock = clock.split_once('.').map_or(clock, |(clock, _)| clock);
        let parts: Vec<&str> = clock.split(':').collect();
        matches!(parts[..], [hour, minute, second] if number(hour, 23) && number(minute, 59) && number(second, 59))
    });
    date_fits && time_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_top(text: &str) -> String {
        value(text, 2, 5)
    }

    #[test]
    fn what_would_be_read_as_something_else_is_quoted() {
        for text in [
            "",
            "1",
            "0x1F",
            "1e3",
            "1.",
            ".5",
            "yes",
            "No",
            "null",
            "~",
            "2026-11-21",
            "2026-11-21T10:00:00Z",
            "1:30",
            "1_000",
            "<<",
            ".inf",
            "0o7",
            "+12",
        ] {
            assert_eq!(at_top(text), format!("\"{text}\""), "{text}");
        }
        for text in [
            "acme",
            "1Gi",
            "500m",
            "v1",
            "0.1.0",
            "a:b",
            "a#b",
            "1.2.3",
            "yess",
            "2026-13-99",
            "12:75",
            "-",
            "x y",
        ] {
            let expected = if text == "-" { "'-'".to_owned() } else { text.to_owned() };
            assert_eq!(at_top(text), expected, "{text}");
        }
    }

    #[test]
    fn indicators_are_quoted_singly_and_control_characters_doubly() {
        assert_eq!(at_top("a: b"), "'a: b'");
        assert_eq!(at_top("it's: so"), "'it''s: so'");
        assert_eq!(at_top("*"), "'*'");
        assert_eq!(at_top(" x"), "' x'");
        assert_eq!(at_top("tab\there"), "\"tab\\there\"");
        assert_eq!(at_top("\u{1F600}"), "\"\\U0001F600\"");
        assert_eq!(key("a b"), "a b");
        assert_eq!(key("on"), "\"on\"");
    }

    #[test]
    fn blocks_keep_their_line_ends() {
        assert_eq!(at_top("a\nb"), "|-\n  a\n  b");
        assert_eq!(at_top("a\nb\n"), "|\n  a\n  b\n");
        assert_eq!(at_top("a\n\n"), "|+\n  a\n\n");
        assert_eq!(at_top(" a\nb"), "|2-\n   a\n  b");
        assert_eq!(at_top("a \nb"), "\"a \\nb\"");
    }

    #[test]
    fn long_lines_are_folded_at_the_first_space_after_column_80() {
        let words = "word ".repeat(30);
        let folded = at_top(words.trim_end());
        let lines: Vec<&str> = folded.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("  word"), "{folded}");
        assert_eq!(lines[0].len() + 5, 84);
    }
}
