//! Pages for people, as the rules see them: blocks of code, words in code, tables, links and headings.

use std::fs;
use std::path::Path;

/// A Markdown file.
pub struct Page {
    /// Path below the repository's root.
    pub path: &'static str,
    /// The file as it is.
    pub text: String,
}

/// A fenced block of code.
pub struct Block {
    /// `path:line` of its first line.
    pub at: String,
    /// What stands behind its fence.
    pub language: String,
    /// What is in it.
    pub text: String,
}

impl Page {
    /// Reads it.
    pub fn read(path: &'static str) -> Self {
        Self { path, text: fs::read_to_string(root().join(path)).unwrap() }
    }

    /// Its blocks of code, and the lines between them.
    fn parts(&self) -> (Vec<Block>, String) {
        let (mut blocks, mut prose, mut open): (_, _, Option<Block>) = (vec![], String::new(), None);
        for (number, line) in (1..).zip(self.text.lines()) {
            match (line.strip_prefix("```"), open.take()) {
                (Some(_), Some(block)) => blocks.push(block),
                (Some(language), None) => {
                    let at = format!("{}:{}", self.path, number + 1);
                    open = Some(Block { at, language: language.to_owned(), text: String::new() });
                }
                (None, Some(block)) => open = Some(Block { text: block.text + line + "\n", ..block }),
                (None, None) => prose = prose + line + "\n",
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", self.path);
        (blocks, prose)
    }

    /// Its blocks of code.
    pub fn blocks(&self) -> Vec<Block> {
        self.parts().0
    }

    /// What stands between backticks outside of blocks.
    pub fn spans(&self) -> Vec<String> {
        spans(&self.parts().1)
    }

    /// What stands between backticks in the column `title` of its tables.
    pub fn column(&self, title: &str) -> Vec<String> {
        let (prose, mut place, mut found) = (self.parts().1, None, vec![]);
        let mut before = "";
        for line in prose.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            match (before.starts_with('|'), line.starts_with('|')) {
                (false, true) => place = cells.iter().position(|cell| *cell == title),
                (true, true) => found.extend(
                    place.and_then(|place| cells.get(place)).into_iter().flat_map(|cell| spans(cell)),
                ),
                _ => {}
            }
            before = line;
        }
        found
    }

    /// Links that lead nowhere: to no file, or to no heading of one.
    pub fn dead_links(&self) -> Vec<String> {
        let folder = root().join(self.path).parent().unwrap().to_owned();
        let prose = self.parts().1;
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let is_dead = |target: &&str| {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { root().join(self.path) } else { folder.join(file) };
            !file.exists() || !(anchor.is_empty() || anchors(&file).iter().any(|known| known == anchor))
        };
        let ours = targets.filter(|target| !target.starts_with("https://"));
        ours.filter(is_dead).map(|target| format!("{}: {target}", self.path)).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor = |heading: &str| -> String {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// The commands of a line of shell, each as its words. What comes after a redirection belongs to none.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (vec![], vec![], None::<String>);
    let (mut quote, mut characters) = (None, line.chars());
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(characters.next()),
            (_, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            (' ', None) => words.extend(word.take()),
            ('|' | ';' | '&' | '>', None) => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    all.push(words);
    all.retain(|words| !words.is_empty());
    all
}

#[test]
fn words_of_a_command_are_those_of_a_shell() {
    let line = r#"kustomize build . | tenantry plan -f - -o 'a "b'"c\" d"  # never > mind"#;
    let words: &[&[&str]] =
        &[&["kustomize", "build", "."], &["tenantry", "plan", "-f", "-", "-o", "a \"bc\" d"]];
    assert_eq!(commands(line), words);
}
