//! Single events, looked up.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::attribution::NameId;
use super::fault::Fault;
use super::schema::EventId;
use super::store::Store;
use super::view::EventFilter;
use super::view::Remembered;
use super::view::RememberedVerdict;
use super::write::ALLOW;
use super::write::BLOCK;
use crate::device::Device;
use crate::name::DomainName;
use crate::policy::RuleRef;

/// The most events in one answer.
pub(super) const EVENTS_MAX: u32 = 10_000;

/// An event as it stands in the tables.
struct Row {
    id: EventId,
    shift: i64,
    device: i64,
    name: NameId,
    meta: i64,
    rule: Option<i64>,
}

impl Store {
    pub(super) fn events(&mut self, filter: &EventFilter) -> Result<Vec<Remembered>, Fault> {
        let device = match filter.device {
            Some(key) => match self.device_id(key)? {
                Some(device) => Some(device),
                None => return Ok(Vec::new()),
            },
            None => None,
        };
        let names = filter.name_contains.as_deref().map(|text| self.names_with(text)).transpose()?;
        if names.as_ref().is_some_and(HashSet::is_empty) {
            return Ok(Vec::new());
        }
        let found = self.find(filter, device, names.as_ref())?;
        let mut devices = HashMap::new();
        let mut rules = HashMap::new();
        let mut events = Vec::with_capacity(found.len());
        for row in found {
            let Some(name) = self.name(row.name)? else { continue };
            let Some(device) = looked_up(&mut devices, row.device, |id| self.device(id))? else { continue };
            let rule = match row.rule {
                Some(rule) => looked_up(&mut rules, rule, |id| self.rule(id))?,
                None => None,
            };
            let Ok(at) = Timestamp::from_millisecond(row.id.ms() + row.shift) else { continue };
            let attribution = self.attribution(row.name, &name);
            let (id, qtype, rcode) = (row.id.0, sixteen_bits(row.meta >> 2), sixteen_bits(row.meta >> 18));
            let verdict = verdict(row.meta & 3, rule);
            if filter.company.as_ref().is_some_and(|company| attribution.company() != *company) {
                continue;
            }
            events.push(Remembered {
                id,
                at,
                device,
                name,
                behind: None,
                qtype,
                verdict,
                rcode,
                attribution,
            });
        }
        Ok(events)
    }

    fn find(
        &self,
        filter: &EventFilter,
        device: Option<i64>,
        names: Option<&HashSet<NameId>>,
    ) -> Result<Vec<Row>, Fault> {
        let limit = usize::try_from(filter.limit.min(EVENTS_MAX)).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let mut statement = self.db.prepare_cached(
            "SELECT id, shift, device, name, meta, rule FROM temp.all_event
             WHERE id < ?1 AND (?2 IS NULL OR device = ?2) AND (NOT ?3 OR meta & 3 = 2) ORDER BY id DESC",
        )?;
        let before = filter.before.unwrap_or(i64::MAX);
        let mut rows = statement.query((before, device, filter.hits_only))?;
        while let Some(row) = rows.next()? {
            let name = row.get(3)?;
            if names.is_some_and(|names| !names.contains(&name)) {
                continue;
            }
            let (id, shift, device) = (EventId(row.get(0)?), row.get(1)?, row.get(2)?);
            found.push(Row { id, shift, device, name, meta: row.get(4)?, rule: row.get(5)? });
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    /// The names that contain `text` as they are shown. Their text is not kept: making it takes less than a microsecond.
    fn names_with(&self, text: &str) -> Result<HashSet<NameId>, Fault> {
        let text = text.to_lowercase();
        let mut names = HashSet::new();
        let in_memory = "SELECT id, wire FROM main.name";
        let in_file = "SELECT id, wire FROM file.name";
        for sql in [Some(in_memory), self.attached.then_some(in_file)].into_iter().flatten() {
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let wire = row.get_ref(1)?.as_blob().unwrap_or_default();
                if DomainName::from_wire(wire).is_ok_and(|name| name.to_string().contains(&text)) {
                    names.insert(row.get(0)?);
                }
            }
        }
        Ok(names)
    }

    fn device(&self, id: i64) -> Result<Option<Device>, Fault> {
        let row: Option<(String, String)> = self.first_of(
            "SELECT key, name FROM main.device WHERE id = ?1",
            "SELECT key, name FROM file.device WHERE id = ?1",
            id,
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(row.and_then(|(key, name)| Some(Device { key: key.parse().ok()?, name: name.into() })))
    }

    fn rule(&self, id: i64) -> Result<Option<RuleRef>, Fault> {
        let row: Option<(String, String)> = self.first_of(
            "SELECT list, rule FROM main.rule WHERE id = ?1",
            "SELECT list, rule FROM file.rule WHERE id = ?1",
            id,
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(row.map(|(list, rule)| RuleRef { list: list.into(), rule: rule.into() }))
    }
}

/// Looks each identifier up once.
fn looked_up<T: Clone>(
    known: &mut HashMap<i64, Option<T>>,
    id: i64,
    look_up: impl FnOnce(i64) -> Result<Option<T>, Fault>,
) -> Result<Option<T>, Fault> {
    if let Some(found) = known.get(&id) {
        return Ok(found.clone());
    }
    let found = look_up(id)?;
    known.insert(id, found.clone());
    Ok(found)
}

fn verdict(code: i64, rule: Option<RuleRef>) -> RememberedVerdict {
    // A rule is forgotten only after its events, unless the clock stepped back in between.
    let rule = rule.unwrap_or_else(|| RuleRef { list: Arc::from("?"), rule: "?".into() });
    match code {
        ALLOW => RememberedVerdict::Allow(rule),
        BLOCK => RememberedVerdict::Block(rule),
        _ => RememberedVerdict::Pass,
    }
}

#[expect(clippy::cast_sign_loss, reason = "sixteen bits are asked for")]
const fn sixteen_bits(meta: i64) -> u16 {
    (meta & 0xFFFF) as u16
}
