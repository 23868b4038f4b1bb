//! One spelling for an expression that PostgreSQL prints in two ways.
//!
//! `status IN ('a', 'b')` over a `varchar` is stored as a cast of the whole list and printed as
//! `(ARRAY['a'::character varying, …])::text[]`. When that text is read again, as a restore does, each element is cast:
//! `ARRAY[('a'::character varying)::text, …]`. Both mean the same, and a comparison has to know.

/// The text with every cast of a list written as a list of casts.
pub fn canonical(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((list, after)) = cast_list(rest) {
            result.push_str(&list);
            rest = after;
            continue;
        }
        let length = quoted_length(rest).unwrap_or(first.len_utf8());
        result.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    result
}

/// Reads `(ARRAY[a, b])::T[]` and writes `ARRAY[(a)::T, (b)::T]`; with what follows.
fn cast_list(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix("(ARRAY[")?;
    let (elements, after) = elements(inside)?;
    let after = after.strip_prefix(")::")?;
    let end = after.find("[]")?;
    let name = &after[..end];
    let is_type = |c: char| c.is_alphanumeric() || " _.\"(),".contains(c);
    if name.is_empty() || !name.chars().all(is_type) {
        return None;
    }
    let cast = elements.iter().map(|element| format!("({})::{name}", canonical(element)));
    Some((format!("ARRAY[{}]", cast.collect::<Vec<_>>().join(", ")), &after[end + 2..]))
}

/// The elements up to the bracket that closes the list, and what follows it.
fn elements(text: &str) -> Option<(Vec<&str>, &str)> {
    let (mut elements, mut start, mut at, mut depth) = (vec![], 0, 0, 0_u32);
    while let Some(next) = text[at..].chars().next() {
        match next {
            ']' if depth == 0 => {
                elements.push(text[start..at].trim());
                return Some((elements, &text[at + 1..]));
            }
            ',' if depth == 0 => {
                elements.push(text[start..at].trim());
                start = at + 1;
            }
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += quoted_length(&text[at..]).unwrap_or(next.len_utf8());
    }
    None
}

/// Length of the constant or name in quotes that the text starts with. A doubled quote begins the next one, which is as
/// good.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    text[1..].find(quote).map(|end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_of_a_list_is_a_list_of_casts() {
        let before = "CHECK (((state)::text = ANY ((ARRAY['a'::character varying, 'b],'::character varying])::text[])))";
        let after = "CHECK (((state)::text = ANY (ARRAY[('a'::character varying)::text, ('b],'::character varying)::text])))";
        assert_eq!(canonical(before), after);
        assert_eq!(canonical(after), after);
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for text in [
            "",
            "'(ARRAY[1])::text[]'",
            "\"(ARRAY[1])::text[]\"",
            "(ARRAY[1, 2])[1]",
            "(ARRAY[1, 2",
            "(ARRAY[1)])::int[]",
            "'it''s' || (ARRAY['ü'])",
            "'open",
        ] {
            assert_eq!(canonical(text), text);
        }
        assert_ne!(canonical("(ARRAY['a'])::text[]"), canonical("(ARRAY['b'])::text[]"));
        assert_ne!(canonical("(ARRAY['a'])::text[]"), canonical("(ARRAY['a'])::int[]"));
    }
}
