use super::*;

#[test]
fn a_set_of_scopes_reads_back() {
    let set = ScopeSet::of(&[Scope::RunsRead, Scope::FlowsExecute]);
    assert_eq!(set.to_string(), "flows:execute, runs:read");
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(json, r#"["flows:execute","runs:read"]"#);
    assert_eq!(serde_json::from_str::<ScopeSet>(&json).unwrap(), set);
    assert!(set.has(Scope::RunsRead) && !set.has(Scope::FlowsRead));
    assert_eq!(set.without(ScopeSet::of(&[Scope::RunsRead])), ScopeSet::of(&[Scope::FlowsExecute]));
    assert_eq!(ScopeSet::all().iter().count(), 9);
}

#[test]
fn names_are_read_and_others_are_refused() {
    assert_eq!("keys:manage".parse(), Ok(Scope::KeysManage));
    assert!("keys:*".parse::<Scope>().unwrap_err().contains("flows:read"));
    assert_eq!("owner".parse(), Ok(Role::Owner));
    assert!("admin".parse::<Role>().is_err());
    assert!(Role::Owner > Role::Editor && Role::Editor > Role::Viewer);
}

#[test]
fn actions_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(names.len(), Action::ALL.len());
}
