//! A page of the documentation: its fenced blocks, and which of them is the answer to which.
//!
//! Never: a block that looks as if it ran and does not. An unknown language is an error.

use std::ops::Range;

/// What a block of this language is for; any other language is refused.
const SHOWN_ONLY: [&str; 6] = ["", "text", "synopsis", "sh", "toml", "yaml"];

/// A block that runs.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) language: Language,
    pub(crate) text: String,
    /// The line of its first fence, counted from 1.
    pub(crate) line: usize,
    pub(crate) answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Sql,
    Python,
}

/// The `text` block directly after a block that runs.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// Its lines between the fences, counted from 0.
    lines: Range<usize>,
}

/// A fenced block as it stands.
#[derive(Debug)]
struct Fenced {
    language: String,
    /// Its lines between the fences, counted from 0.
    lines: Range<usize>,
}

/// The blocks that run, in order; the error says what is wrong in which line.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<Block> = Vec::new();
    // Where the answer to the last block may begin: nothing but blank lines stands before it.
    let mut answer_from = None;
    for fenced in fences(&lines)? {
        let directly_after = answer_from.take().is_some_and(|end| {
            lines[end..fenced.lines.start - 1].iter().all(|line| line.is_empty())
        });
        let text = lines[fenced.lines.clone()].join("\n");
        let line = fenced.lines.start;
        let language = match fenced.language.as_str() {
            "sql" => Language::Sql,
            "python" => Language::Python,
            "text" if directly_after => {
                let answer = Answer { text, lines: fenced.lines };
                found.last_mut().unwrap().answer = Some(answer);
                continue;
            }
            other if SHOWN_ONLY.contains(&other) => continue,
            other => return Err(format!("line {line}: no block is of language \"{other}\"")),
        };
        answer_from = Some(fenced.lines.end + 1);
        found.push(Block { language, text, line, answer: None });
    }
    Ok(found)
}

fn fences(lines: &[&str]) -> Result<Vec<Fenced>, String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    for (index, line) in lines.iter().enumerate() {
        let Some(language) = line.strip_prefix("```") else { continue };
        open = match open {
            None => Some((index, language.trim())),
            Some((start, name)) if language.is_empty() => {
                found.push(Fenced { language: name.to_owned(), lines: start + 1..index });
                None
            }
            Some(_) => return Err(format!("line {}: a block opens inside a block", index + 1)),
        };
    }
    match open {
        None => Ok(found),
        Some((start, _)) => Err(format!("line {}: this block has no end", start + 1)),
    }
}

/// The page with other answers. Those that are `None` stay.
pub(crate) fn with_answers(text: &str, blocks: &[Block], given: &[Option<String>]) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    // From the end, so that the line numbers before it hold.
    for (block, given) in blocks.iter().zip(given).rev() {
        if let (Some(answer), Some(given)) = (&block.answer, given) {
            lines.splice(answer.lines.clone(), given.lines());
        }
    }
    lines.join("\n") + "\n"
}

/// Arguments of the server that the page wants: its first line may be `<!-- runs on: tarn serve ... -->`.
pub(crate) fn server_arguments(text: &str) -> Vec<&str> {
    let first = text.lines().next().unwrap_or_default();
    let wanted = first.strip_prefix("<!-- runs on: tarn serve ");
    let wanted = wanted.and_then(|rest| rest.strip_suffix("-->"));
    wanted.unwrap_or_default().split_whitespace().collect()
}
