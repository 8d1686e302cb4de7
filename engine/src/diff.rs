//! What changes from one version of a zone to the next, RRset by RRset.

use std::cmp::Ordering;

use crate::version::Version;

/// One RRset that only one of two versions has in this form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Wire name.
    pub owner: Vec<u8>,
    /// Type.
    pub rtype: u16,
    /// TTL.
    pub ttl: u32,
    /// Rdatas in canonical order; for a changed RRset of one TTL only those the other version lacks.
    pub rdatas: Vec<Vec<u8>>,
}

/// What changes; the lists end at the asked limit, the counts do not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Records of the older version that are gone.
    pub removed_records: usize,
    /// Records of the newer version that are new.
    pub added_records: usize,
    /// RRsets touched.
    pub changed_rrsets: usize,
    /// What is gone.
    pub removed: Vec<Change>,
    /// What is new.
    pub added: Vec<Change>,
}

/// What changes from `older` to `newer`, in canonical order.
#[must_use]
pub fn diff(older: &Version, newer: &Version, limit: usize) -> Difference {
    let mut walk = Walk { older, newer, limit, difference: Difference::default() };
    let compare = |old, new| older.compare_names(old, newer, new);
    side_by_side(older.nodes().len(), newer.nodes().len(), compare, |old, new| {
        walk.node(old, new);
        true
    });
    walk.difference
}

/// Walk two ascending sequences side by side: each place of either one, both where they are equal. Ends when `each` says
/// false, and says so.
pub fn side_by_side(
    olds: usize,
    news: usize,
    order: impl Fn(usize, usize) -> Ordering,
    mut each: impl FnMut(Option<usize>, Option<usize>) -> bool,
) -> bool {
    let (mut old, mut new) = (0, 0);
    while old < olds || new < news {
        let order = match (old < olds, new < news) {
            (true, false) => Ordering::Less,
            (false, _) => Ordering::Greater,
            _ => order(old, new),
        };
        if !each(order.is_le().then_some(old), order.is_ge().then_some(new)) {
            return false;
        }
        old += usize::from(order.is_le());
        new += usize::from(order.is_ge());
    }
    true
}

struct Walk<'a> {
    older: &'a Version,
    newer: &'a Version,
    limit: usize,
    difference: Difference,
}

impl Walk<'_> {
    fn node(&mut self, old: Option<usize>, new: Option<usize>) {
        let mut olds = old.map_or(0..0, |node| self.older.rrset_range(node)).peekable();
        let mut news = new.map_or(0..0, |node| self.newer.rrset_range(node)).peekable();
        loop {
            let rtype_old = olds.peek().and_then(|at| self.older.rrset_number(*at)).map(|rrset| rrset.rtype);
            let rtype_new = news.peek().and_then(|at| self.newer.rrset_number(*at)).map(|rrset| rrset.rtype);
            match (rtype_old, rtype_new) {
                (None, None) => break,
                (Some(a), Some(b)) if a == b => {
                    if let (Some(from), Some(to)) = (olds.next(), news.next()) {
                        self.rrset(old.zip(Some(from)), new.zip(Some(to)));
                    }
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => self.rrset(old.zip(olds.next()), None),
                _ => self.rrset(None, new.zip(news.next())),
            }
        }
    }

    fn rrset(&mut self, old: Option<(usize, usize)>, new: Option<(usize, usize)>) {
        if let (Some((_, from)), Some((_, to))) = (old, new)
            && self.older.same_rrset(from, self.newer, to)
        {
            return;
        }
        let before = old.and_then(|(node, at)| change(self.older, node, at));
        let after = new.and_then(|(node, at)| change(self.newer, node, at));
        let (removed, added) = match (before, after) {
            (Some(before), Some(after)) if before.ttl == after.ttl => (minus(&before, &after), minus(&after, &before)),
            both => both,
        };
        self.difference.changed_rrsets += 1;
        self.difference.removed_records += removed.as_ref().map_or(0, |change| change.rdatas.len());
        self.difference.added_records += added.as_ref().map_or(0, |change| change.rdatas.len());
        if self.difference.removed.len() < self.limit {
            self.difference.removed.extend(removed);
        }
        if self.difference.added.len() < self.limit {
            self.difference.added.extend(added);
        }
    }
}

fn change(version: &Version, node: usize, at: usize) -> Option<Change> {
    let rrset = version.rrset_number(at)?;
    let rdatas = rrset.rdatas().map(<[u8]>::to_vec).collect();
    Some(Change { owner: version.name_of(node).to_vec(), rtype: rrset.rtype, ttl: rrset.ttl, rdatas })
}

fn minus(a: &Change, b: &Change) -> Option<Change> {
    let rdatas: Vec<_> = a.rdatas.iter().filter(|rdata| !b.rdatas.contains(rdata)).cloned().collect();
    (!rdatas.is_empty()).then(|| Change { rdatas, ..a.clone() })
}
