//! The blocks of code on a page of the documentation, for a test that does what the page says.

use std::{collections::VecDeque, fs, path::Path};

use crate::root;

/// A block of code.
#[derive(Clone, Debug)]
pub struct Block {
    /// What stands after its fence: `sh`, `python`, `text`; empty where nothing does.
    pub language: String,
    /// Its lines.
    pub code: String,
}

impl Block {
    /// The block with something of the test's own in place of what is printed.
    ///
    /// # Panics
    /// The block does not hold what is printed.
    #[must_use]
    pub fn with(self, printed: &str, used: &str) -> Self {
        assert!(self.code.contains(printed), "`{printed}` does not stand in\n{}", self.code);
        Self { code: self.code.replace(printed, used), ..self }
    }
}

/// The blocks of a page that nobody has run yet, in its order.
#[derive(Debug)]
pub struct Page {
    name: String,
    text: String,
    left: VecDeque<Block>,
}

impl Page {
    /// Reads a page by its path in the repository.
    ///
    /// # Panics
    /// There is no such page, or one of its blocks is indented, which would hide it.
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut left = VecDeque::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            assert!(!line.starts_with(' ') || !line.contains("```"), "{name}: nobody runs blocks in a list: {line}");
            if let Some(language) = line.strip_prefix("```") {
                let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
                left.push_back(Block { language: language.to_owned(), code: code.join("\n") + "\n" });
            }
        }
        Self { name: name.to_owned(), text, left }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its path in the repository.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next block, of whatever language.
    pub fn next_block(&mut self) -> Option<Block> {
        self.left.pop_front()
    }

    /// The next block, which is of this language.
    ///
    /// # Panics
    /// It is of another language, or there is none.
    pub fn block(&mut self, language: &str) -> Block {
        let block = self.next_block().unwrap_or_else(|| panic!("{} has no more blocks", self.name));
        assert_eq!(block.language, language, "{}: another block was expected than\n{}", self.name, block.code);
        block
    }

    /// Says that the page has been gone through.
    ///
    /// # Panics
    /// A block is left.
    pub fn finish(mut self) {
        if let Some(block) = self.next_block() {
            panic!("{}: nobody runs\n{}", self.name, block.code);
        }
    }
}

/// The pages of the documentation but for the reference, which is generated, as paths in the repository.
///
/// # Panics
/// docs/ cannot be read.
pub fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "docs/README.md".to_owned()];
    for chapter in ["docs/tutorial", "docs/how-to", "docs/explanation"] {
        let entries = fs::read_dir(root().join(chapter)).expect("the chapter is there");
        let names = entries.map(|entry| entry.expect("it can be read").file_name());
        pages.extend(names.map(|name| Path::new(chapter).join(name).display().to_string()));
    }
    pages.sort();
    pages
}
