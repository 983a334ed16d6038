//! A tree of names, and where a path leads in it: as one reads path_resolution(7), no more.

use std::collections::BTreeMap;

use cofferdam::sys::Errno;

/// How many links are followed.
const HOPS: u32 = 40;

/// What has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File,
    Link(String),
}

/// Where something is, name after name from the root.
pub(crate) type At = Vec<String>;

/// A tree, by where its nodes are.
#[derive(Clone, Debug)]
pub(crate) struct Tree(pub(crate) BTreeMap<At, Node>);

/// How a path is walked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// Nothing leads out of where the walk begins, and it is the root of absolute paths.
    pub(crate) in_root: bool,
    /// Whatever leads out is refused.
    pub(crate) beneath: bool,
    pub(crate) no_links: bool,
    /// A link at the end is what is looked for.
    pub(crate) keep: bool,
    /// What is missing is made, a directory or a file at the end.
    pub(crate) make: Option<&'static Node>,
}

impl Tree {
    pub(crate) fn is_directory(&self, at: &[String]) -> bool {
        self.0.get(at) == Some(&Node::Directory)
    }

    /// Adds a node where its directory is there and its name free; returns whether it did.
    pub(crate) fn add(&mut self, at: At, node: Node) -> bool {
        let free = !self.0.contains_key(&at);
        let able = at.split_last().is_some_and(|(_, above)| self.is_directory(above));
        if free && able {
            self.0.insert(at, node);
        }
        free && able
    }

    /// Walks a path from a directory on.
    pub(crate) fn walk(&mut self, from: &[String], path: &str, how: How) -> Result<At, Errno> {
        let floor = if how.in_root || how.beneath { from } else { &[] };
        let mut at = from.to_vec();
        let mut rest: Vec<String> = Vec::new();
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let mut slash = how.make.is_none() && path.ends_with('/');
        let mut hops = 0;
        self.push(&mut rest, path, (&mut at, floor), how)?;
        while let Some(part) = rest.pop() {
            let last = rest.is_empty();
            if !self.is_directory(&at) {
                return Err(Errno::ENOTDIR);
            }
            match part.as_str() {
                "." => continue,
                ".." if at == floor && how.beneath => return Err(Errno::EXDEV),
                ".." if at == floor => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(part),
            }
            match (self.0.get(&at).cloned(), how.make) {
                (Some(Node::Link(_)), _) if last && how.keep && !slash => return Ok(at),
                (Some(Node::Link(target)), _) => {
                    hops += 1;
                    if hops > HOPS || how.no_links {
                        return Err(Errno::ELOOP);
                    }
                    at.pop();
                    slash |= last && how.make.is_none() && target.ends_with('/');
                    self.push(&mut rest, &target, (&mut at, floor), how)?;
                }
                (Some(_), _) => (),
                (None, None) => return Err(Errno::ENOENT),
                (None, Some(node)) => {
                    let node = if last { node } else { &Node::Directory };
                    self.0.insert(at.clone(), node.clone());
                }
            }
        }
        if slash && !self.is_directory(&at) { Err(Errno::ENOTDIR) } else { Ok(at) }
    }

    /// Puts the parts of a path before what is left.
    fn push(
        &self,
        rest: &mut Vec<String>,
        path: &str,
        (at, floor): (&mut At, &[String]),
        how: How,
    ) -> Result<(), Errno> {
        if path.starts_with('/') {
            if how.beneath {
                return Err(Errno::EXDEV);
            }
            *at = floor.to_vec();
        }
        rest.extend(path.split('/').filter(|part| !part.is_empty()).rev().map(str::to_owned));
        Ok(())
    }
}
