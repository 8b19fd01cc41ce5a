//! A sorted map whose copies share what they have in common.
//!
//! A round of the hub shows the directory as it is then, and the next update changes it: with a map of the library, each
//! round would copy every guild, and what changed in it. Here a copy is a list of leaves, and a change copies one of them.

use std::{mem, ops::Index, slice, sync::Arc, vec};

/// Entries of a leaf at most. A change costs about as much as a leaf and the list of leaves are long together, which is least
/// where both are equal: with some hundred entries.
const FULL: usize = 16;

/// A sorted map that is cheap to copy.
#[derive(Clone, Debug)]
pub struct Leaves<K, V> {
    /// Their keys rise, and none is empty. The list is shared too: of a guild, mostly people change and not rooms.
    leaves: Arc<Vec<Leaf<K, V>>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Leaf<K, V> {
    /// The key of its first entry.
    first: K,
    entries: Arc<Vec<(K, V)>>,
}

impl<K: Copy + Ord, V> Leaf<K, V> {
    fn new(entries: Vec<(K, V)>) -> Self {
        Self { first: entries[0].0, entries: Arc::new(entries) }
    }

    fn search(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(known, _)| known.cmp(key))
    }
}

impl<K, V> Default for Leaves<K, V> {
    fn default() -> Self {
        Self { leaves: Arc::new(Vec::new()), len: 0 }
    }
}

impl<K: Copy + Ord, V> Leaves<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let leaf = self.leaves.get(self.leaf_of(key))?;
        leaf.search(key).ok().map(|index| &leaf.entries[index].1)
    }

    /// Whether the key has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Every entry, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.leaves.iter().flat_map(|leaf| leaf.entries.iter().map(|(key, value)| (key, value)))
    }

    /// Every entry whose key is higher than one, by key; `None` for all.
    pub fn after(&self, key: Option<K>) -> impl Iterator<Item = (&K, &V)> {
        let first = key.map_or(0, |key| self.leaf_of(&key));
        let entries = self.leaves.iter().skip(first).flat_map(|leaf| leaf.entries.iter());
        let passed = move |known: &K| key.is_some_and(|key| *known <= key);
        entries.skip_while(move |(known, _)| passed(known)).map(|(known, value)| (known, value))
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Every value, by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The leaf that holds the key, if any does.
    fn leaf_of(&self, key: &K) -> usize {
        self.leaves.partition_point(|leaf| leaf.first <= *key).saturating_sub(1)
    }

    /// Calls `tell` for every key whose values are not the same in both, with the value of now and the one of before. What
    /// both share is not looked at.
    pub fn differences<'a>(
        &'a self,
        before: &'a Self,
        same: impl Fn(&V, &V) -> bool,
        mut tell: impl FnMut(K, Option<&'a V>, Option<&'a V>),
    ) {
        if Arc::ptr_eq(&self.leaves, &before.leaves) {
            return;
        }
        let (mut now, mut before) = (Walk::over(&self.leaves), Walk::over(&before.leaves));
        loop {
            while now.stands_where(&before) {
                now.pass_leaf();
                before.pass_leaf();
            }
            match (now.entry(), before.entry()) {
                (None, None) => return,
                (Some((key, value)), there) if there.is_none_or(|(other, _)| key < other) => {
                    tell(*key, Some(value), None);
                    now.pass();
                }
                (here, Some((key, value))) if here.is_none_or(|(other, _)| key < other) => {
                    tell(*key, None, Some(value));
                    before.pass();
                }
                (here, there) => {
                    if let (Some((key, here)), Some((_, there))) = (here, there)
                        && !same(here, there)
                    {
                        tell(*key, Some(here), Some(there));
                    }
                    now.pass();
                    before.pass();
                }
            }
        }
    }
}

impl<K: Copy + Ord, V: Clone> Leaves<K, V> {
    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let index = self.leaf_of(key);
        let at = self.leaves.get(index)?.search(key).ok()?;
        let leaf = &mut Arc::make_mut(&mut self.leaves)[index];
        Some(&mut Arc::make_mut(&mut leaf.entries)[at].1)
    }

    /// The value of a key, to be changed; made where there is none.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.contains_key(&key) {
            self.insert(key, make());
        }
        self.get_mut(&key).expect("it is there or was put there")
    }

    /// Gives a key a value and returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (index, last) = (self.leaf_of(&key), self.leaves.len().saturating_sub(1));
        let leaves = Arc::make_mut(&mut self.leaves);
        let Some(leaf) = leaves.get_mut(index) else {
            leaves.push(Leaf::new(vec![(key, value)]));
            self.len = 1;
            return None;
        };
        let at = match leaf.search(&key) {
            Ok(at) => return Some(mem::replace(&mut Arc::make_mut(&mut leaf.entries)[at].1, value)),
            Err(at) => at,
        };
        self.len += 1;
        // What comes in order fills its leaves.
        if index == last && at == FULL {
            leaves.push(Leaf::new(vec![(key, value)]));
            return None;
        }
        let entries = Arc::make_mut(&mut leaf.entries);
        entries.insert(at, (key, value));
        leaf.first = entries[0].0;
        if entries.len() > FULL {
            let upper = entries.split_off(FULL / 2);
            leaves.insert(index + 1, Leaf::new(upper));
        }
        None
    }

    /// Takes a key out and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let index = self.leaf_of(key);
        let at = self.leaves.get(index)?.search(key).ok()?;
        let leaves = Arc::make_mut(&mut self.leaves);
        let leaf = &mut leaves[index];
        self.len -= 1;
        let entries = Arc::make_mut(&mut leaf.entries);
        let (_, value) = entries.remove(at);
        if entries.is_empty() {
            leaves.remove(index);
            return Some(value);
        }
        leaf.first = entries[0].0;
        // Two that are nearly empty become one.
        let size = entries.len();
        if leaves.get(index + 1).is_some_and(|next| size + next.entries.len() <= FULL / 2) {
            let next = leaves.remove(index + 1);
            Arc::make_mut(&mut leaves[index].entries).extend(Arc::unwrap_or_clone(next.entries));
        }
        Some(value)
    }

    /// Takes out every entry that is not to stay.
    pub fn retain(&mut self, mut stays: impl FnMut(&K, &V) -> bool) {
        let gone: Vec<K> = self.iter().filter(|(key, value)| !stays(key, value)).map(|(key, _)| *key).collect();
        for key in gone {
            self.remove(&key);
        }
    }
}

impl<K: Copy + Ord, V> Index<&K> for Leaves<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("no entry of this key")
    }
}

impl<K: Copy + Ord, V: Clone> IntoIterator for Leaves<K, V> {
    type Item = (K, V);
    type IntoIter = vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        let mut entries = Vec::with_capacity(self.len);
        Arc::unwrap_or_clone(self.leaves)
            .into_iter()
            .for_each(|leaf| entries.extend(Arc::unwrap_or_clone(leaf.entries)));
        entries.into_iter()
    }
}

/// A place in the leaves of one map.
struct Walk<'a, K, V> {
    leaves: slice::Iter<'a, Leaf<K, V>>,
    /// The leaf that it is in; `None` at the end.
    leaf: Option<&'a Arc<Vec<(K, V)>>>,
    at: usize,
}

impl<'a, K, V> Walk<'a, K, V> {
    fn over(leaves: &'a [Leaf<K, V>]) -> Self {
        let mut walk = Self { leaves: leaves.iter(), leaf: None, at: 0 };
        walk.pass_leaf();
        walk
    }

    fn entry(&self) -> Option<(&'a K, &'a V)> {
        self.leaf.map(|leaf| (&leaf[self.at].0, &leaf[self.at].1))
    }

    fn pass(&mut self) {
        self.at += 1;
        if self.leaf.is_none_or(|leaf| self.at == leaf.len()) {
            self.pass_leaf();
        }
    }

    fn pass_leaf(&mut self) {
        self.leaf = self.leaves.next().map(|leaf| &leaf.entries);
        self.at = 0;
    }

    /// Whether both stand before the same leaf.
    fn stands_where(&self, other: &Self) -> bool {
        let shared = self.leaf.zip(other.leaf).is_some_and(|(here, there)| Arc::ptr_eq(here, there));
        shared && self.at == 0 && other.at == 0
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ops::Bound};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u32),
        Remove(u8),
        Change(u8, u32),
        /// Everything below is taken out.
        Retain(u8),
        Copy,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
            4 => any::<u8>().prop_map(Step::Remove),
            4 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::Change(key, value)),
            1 => (0..64_u8).prop_map(Step::Retain),
            1 => Just(Step::Copy),
        ];
        proptest::collection::vec(step, 0..400)
    }

    type Model = BTreeMap<u8, Arc<u32>>;

    fn differences(now: &Leaves<u8, Arc<u32>>, before: &Leaves<u8, Arc<u32>>) -> Vec<(u8, Option<u32>, Option<u32>)> {
        let mut told = Vec::new();
        let number = |value: Option<&Arc<u32>>| value.map(|value| **value);
        now.differences(before, Arc::ptr_eq, |key, now, before| told.push((key, number(now), number(before))));
        told
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map_and_no_copy_changes(steps in steps()) {
            let (mut map, mut model) = (Leaves::default(), Model::new());
            let mut copies: Vec<(Leaves<u8, Arc<u32>>, Model)> = vec![(map.clone(), model.clone())];
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        let value = Arc::new(value);
                        prop_assert_eq!(map.insert(key, Arc::clone(&value)), model.insert(key, value));
                    }
                    Step::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    Step::Change(key, value) => {
                        let value = Arc::new(value);
                        if let Some(known) = map.get_mut(&key) {
                            *known = Arc::clone(&value);
                        }
                        if let Some(known) = model.get_mut(&key) {
                            *known = value;
                        }
                    }
                    Step::Retain(least) => {
                        map.retain(|key, _| *key >= least);
                        model.retain(|key, _| *key >= least);
                    }
                    Step::Copy => copies.push((map.clone(), model.clone())),
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.leaves.iter().all(|leaf| (1..=FULL).contains(&leaf.entries.len())));
                prop_assert!(map.leaves.iter().all(|leaf| leaf.first == leaf.entries[0].0));
            }
            for (copy, model) in &copies {
                prop_assert!(copy.iter().eq(model.iter()));
                for key in 0..=u8::MAX {
                    prop_assert_eq!(copy.get(&key), model.get(&key));
                    let after = (Bound::Excluded(key), Bound::Unbounded);
                    prop_assert!(copy.after(Some(key)).eq(model.range(after)));
                }
            }
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.clone().into_iter().eq(model.clone()));
            for (copy, before) in &copies {
                let keys: std::collections::BTreeSet<u8> = model.keys().chain(before.keys()).copied().collect();
                let number = |model: &Model, key: &u8| model.get(key).map(|value| **value);
                let expected: Vec<_> = keys
                    .into_iter()
                    .filter(|key| match (model.get(key), before.get(key)) {
                        (Some(now), Some(then)) => !Arc::ptr_eq(now, then),
                        _ => true,
                    })
                    .map(|key| (key, number(&model, &key), number(before, &key)))
                    .collect();
                prop_assert_eq!(differences(&map, copy), expected);
            }
        }
    }

    #[test]
    fn a_change_copies_one_leaf_and_no_other_is_looked_at_again() {
        let mut map: Leaves<u32, Arc<u32>> = Leaves::default();
        (0..1_000).for_each(|key| drop(map.insert(key, Arc::new(key))));
        assert_eq!(map.leaves.len(), 1_000_usize.div_ceil(FULL), "what came in order fills its leaves");
        let before = map.clone();
        map.insert(500, Arc::new(0));
        let own =
            map.leaves.iter().zip(before.leaves.iter()).filter(|(now, then)| !Arc::ptr_eq(&now.entries, &then.entries));
        assert_eq!(own.count(), 1);
        let looked_at = std::cell::Cell::new(0);
        let same = |now: &Arc<u32>, then: &Arc<u32>| {
            looked_at.set(looked_at.get() + 1);
            Arc::ptr_eq(now, then)
        };
        let mut told = Vec::new();
        map.differences(&before, same, |key, _, _| told.push(key));
        assert_eq!(told, [500]);
        assert!(looked_at.get() <= FULL);
    }
}
