//! Source files as the rules see them.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file.
pub struct Source {
    /// Path below the repository's root, with `/`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// The same number of lines without comments, contents of string literals and test modules.
    pub code: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let without_tests = text.lines().map(str::to_owned).collect::<Vec<_>>();
        let end = without_tests.iter().position(|line| line.trim() == "#[cfg(test)]");
        let code = blank(&without_tests[..end.unwrap_or(without_tests.len())].join("\n"));
        let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        Self { path, text, code }
    }

    /// Number of lines before the test module.
    pub fn lines(&self) -> usize {
        self.code.lines().count()
    }

    /// Name of the file without folders.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    /// `path:line` of each line of code that contains one of the words, with the word.
    pub fn code_with(&self, words: &[&str]) -> Vec<String> {
        self.found(&self.code, words)
    }

    /// The words of code that follow `start`, as the names behind a path.
    pub fn code_words_after(&self, start: &str) -> Vec<String> {
        let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        self.code.split(start).skip(1).map(word).collect()
    }

    /// `path:line` of each line, comments and strings included, that contains one of the words, with the word.
    pub fn text_with(&self, words: &[&str]) -> Vec<String> {
        self.found(&self.text, words)
    }

    fn found(&self, text: &str, words: &[&str]) -> Vec<String> {
        let lines = (1..).zip(text.lines());
        let hits = lines.flat_map(|(number, line)| {
            let words = words.iter().filter(move |word| has_word(line, word));
            words.map(move |word| format!("{}:{number}: {word}", self.path))
        });
        hits.collect()
    }
}

/// Every Rust file below `folder`.
pub fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![];
    collect(&root.join(folder), &mut files);
    files.sort();
    files.iter().map(|path| Source::read(root, path)).collect()
}

/// The test passes if there is no offender.
pub fn assert_none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether `line` has `word`, not as a part of a longer identifier.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(start, _)| {
        let before = part(word.chars().next()) && part(line[..start].chars().next_back());
        let after = part(word.chars().next_back()) && part(line[start + word.len()..].chars().next());
        !before && !after
    })
}

/// Blanks comments and the contents of string and character literals; line breaks stay.
fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let skipped = comment(rest).or_else(|| raw_string(rest, code.chars().next_back()));
        let skipped = skipped.or_else(|| string(rest)).or_else(|| character(rest));
        if let Some(length) = skipped {
            let lines = rest[..length].iter().filter(|c| **c == '\n').count();
            code.push('"');
            code.extend(std::iter::repeat_n('\n', lines));
            at += length;
        } else {
            code.push(rest[0]);
            at += 1;
        }
    }
    code
}

fn comment(rest: &[char]) -> Option<usize> {
    match rest {
        ['/', '/', ..] => Some(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => {
            Some(rest.windows(2).position(|w| w == ['*', '/']).map_or(rest.len(), |end| end + 2))
        }
        _ => None,
    }
}

fn raw_string(rest: &[char], before: Option<char>) -> Option<usize> {
    if rest[0] != 'r' || before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_') {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then(|| {
        let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        let body = &rest[hashes + 2..];
        let length = body.windows(end.len()).position(|w| w == end).unwrap_or(body.len());
        (hashes + 2 + length + end.len()).min(rest.len())
    })
}

fn string(rest: &[char]) -> Option<usize> {
    (rest[0] == '"').then(|| closing(rest, '"').unwrap_or(rest.len()))
}

/// A lifetime also starts with a quote, but none follows it within a character's length.
fn character(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', ..] => closing(rest, '\''),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// Length up to and with the closing quote; a backslash keeps the next character from being one.
fn closing(rest: &[char], quote: char) -> Option<usize> {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a // async\n\"x \\\" async\" 'y' '\\'' b\nr#\"async \" \"# c<'d> /* async\nasync */ e";
    assert_eq!(blank(text), "a \"\n\" \" \" b\n\" c<'d> \"\n e");
}

#[test]
fn words_are_whole() {
    assert!(has_word("std::env::var(x)", "env::var"));
    assert!(!has_word("let sleepy = 1", "sleep"));
    assert!(has_word("tokio::time::sleep(x)", "sleep("));
}
