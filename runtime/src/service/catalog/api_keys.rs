//! API keys by their public part and by their name. There may be a million, so they are held once and pointed to.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

use crate::domain::api_key::ApiKey;
use crate::domain::id::{ApiKeyId, GroupId, Name};

/// Parts of the table by id. A change copies one of them: eight hundred pointers when there are a million keys, which
/// fill a hash table of 1,024 places well.
const PARTS: usize = 1280;

/// A snapshot of all API keys. Cloning it is cheap: clones share what did not change.
#[derive(Clone)]
pub struct ApiKeys {
    by_id: Arc<Vec<Arc<HashSet<ById>>>>,
    by_name: OrdSet<ByName>,
}

impl Default for ApiKeys {
    fn default() -> Self {
        Self { by_id: Arc::new(vec![Arc::default(); PARTS]), by_name: OrdSet::default() }
    }
}

impl ApiKeys {
    /// The key of an id.
    pub fn get(&self, id: &ApiKeyId) -> Option<&Arc<ApiKey>> {
        self.by_id[id.part(PARTS)].get(id).map(|ById(key)| key)
    }

    /// Whether there is a key of this id.
    pub fn contains_key(&self, id: &ApiKeyId) -> bool {
        self.get(id).is_some()
    }

    /// All keys, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.by_id.iter().flat_map(|part| part.iter()).map(|ById(key)| key)
    }

    /// A group's key of a name.
    pub fn named(&self, group: &GroupId, name: &Name) -> Option<&Arc<ApiKey>> {
        self.by_name.get(&(group, Some(name)) as &dyn Place).map(|ByName(key)| key)
    }

    /// A group's keys, by name.
    pub fn of(&self, group: &GroupId) -> impl Iterator<Item = &Arc<ApiKey>> {
        let from = (group, None);
        let from: Bound<&dyn Place> = Bound::Included(&from);
        let keys = self.by_name.range::<_, dyn Place>((from, Bound::Unbounded)).map(|ByName(key)| key);
        keys.take_while(move |key| key.group == *group)
    }

    /// Takes a key in, in place of an older version of it; answers that one.
    pub fn insert(&mut self, key: Arc<ApiKey>) -> Option<Arc<ApiKey>> {
        let old = self.part(&key.id).replace(ById(key.clone())).map(|ById(old)| old);
        if let Some(old) = &old {
            self.by_name.remove(old as &dyn Place);
        }
        self.by_name.insert(ByName(key));
        old
    }

    /// Lets a key go.
    pub fn remove(&mut self, key: &ApiKey) {
        if let Some(ById(key)) = self.part(&key.id).take(&key.id) {
            self.by_name.remove(&key as &dyn Place);
        }
    }

    fn part(&mut self, id: &ApiKeyId) -> &mut HashSet<ById> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.by_id)[id.part(PARTS)])
    }
}

/// A key that is looked up by its id.
#[derive(Clone)]
struct ById(Arc<ApiKey>);

impl Borrow<ApiKeyId> for ById {
    fn borrow(&self) -> &ApiKeyId {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

/// A key in the order of groups and names.
#[derive(Clone)]
struct ByName(Arc<ApiKey>);

/// A place in that order.
trait Place {
    fn place(&self) -> (&GroupId, Option<&Name>);
}

impl Place for (&GroupId, Option<&Name>) {
    fn place(&self) -> (&GroupId, Option<&Name>) {
        *self
    }
}

impl Place for Arc<ApiKey> {
    fn place(&self) -> (&GroupId, Option<&Name>) {
        (&self.group, Some(&self.name))
    }
}

impl<'a> Borrow<dyn Place + 'a> for ByName {
    fn borrow(&self) -> &(dyn Place + 'a) {
        &self.0
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.place().cmp(&other.0.place())
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByName {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_key::KeyPermission;
    use crate::domain::id::Environment;

    fn key(id: &str, group: &str, name: &str) -> Arc<ApiKey> {
        Arc::new(ApiKey {
            id: id.parse().unwrap(),
            group: group.parse().unwrap(),
            environment: Environment::production(),
            name: name.parse().unwrap(),
            description: "".into(),
            class: None,
            secrets: Box::default(),
            created: jiff::Timestamp::UNIX_EPOCH,
            expires: None,
            disabled: false,
            revoked: None,
            permission: KeyPermission::AllFlows,
            scopes: KeyPermission::AllFlows.default_scopes(),
            limits: None,
            networks: Box::default(),
        })
    }

    fn names(keys: &ApiKeys, group: &str) -> Vec<String> {
        keys.of(&group.parse().unwrap()).map(|key| format!("{} {}", key.name, key.id)).collect()
    }

    #[test]
    fn keys_are_found_by_id_and_by_name_and_a_snapshot_stays_as_it_was() {
        let (a, b, c) = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc");
        let mut keys = ApiKeys::default();
        for (id, group, name) in [(b, "acme", "two"), (a, "acme", "three"), (c, "rival", "one")] {
            assert!(keys.insert(key(id, group, name)).is_none());
        }
        let before = keys.clone();
        let old = keys.insert(key(a, "acme", "four")).unwrap();
        assert_eq!(old.name.as_str(), "three");
        assert_eq!(names(&keys, "acme"), [format!("four {a}"), format!("two {b}")]);
        assert_eq!(names(&before, "acme"), [format!("three {a}"), format!("two {b}")]);
        assert_eq!(names(&keys, "rival"), [format!("one {c}")]);
        assert!(names(&keys, "abc").is_empty() && names(&keys, "zed").is_empty());
        let named = |keys: &ApiKeys, name: &str| {
            keys.named(&"acme".parse().unwrap(), &name.parse().unwrap()).map(|key| key.id.to_string())
        };
        assert_eq!((named(&keys, "four").as_deref(), named(&keys, "three")), (Some(a), None));
        keys.remove(&old);
        assert!(!keys.contains_key(&old.id) && before.contains_key(&old.id));
        assert_eq!((names(&keys, "acme"), keys.values().count()), (vec![format!("two {b}")], 2));
    }
}
