//! The devices of the history as people know them now: what was one device under two keys, and was put together since, is
//! one; what was renamed has its new name.

use std::collections::HashMap;
use std::sync::Arc;

use super::fault::Fault;
use super::store::Store;
use super::write::first_seen;
use crate::device::Device;
use crate::device::DeviceKey;

/// A device as people know it now.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) device: Device,
    /// The rows that it has.
    pub(super) ids: Vec<i64>,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
}

/// A row of a device as it stands in the tables.
struct Row {
    id: i64,
    device: Device,
    first_ms: i64,
    last_ms: i64,
}

/// All devices that ever asked.
#[derive(Default)]
pub(super) struct Roster {
    pub(super) devices: Vec<Known>,
    by_id: HashMap<i64, usize>,
}

impl Roster {
    /// Puts rows together that are the `same` device, each called what it is called now, or else what it was called last.
    fn of(
        rows: Vec<Row>,
        same: impl Fn(DeviceKey) -> DeviceKey,
        name_of: impl Fn(DeviceKey) -> Option<Arc<str>>,
    ) -> Self {
        let mut roster = Self::default();
        let mut places: HashMap<DeviceKey, usize> = HashMap::new();
        for Row { id, device, first_ms, last_ms } in rows {
            let key = same(device.key);
            let name = name_of(key);
            let place = *places.entry(key).or_insert(roster.devices.len());
            roster.by_id.insert(id, place);
            let Some(known) = roster.devices.get_mut(place) else {
                let device = Device { key, name: name.unwrap_or(device.name) };
                roster.devices.push(Known { device, ids: vec![id], first_ms, last_ms });
                continue;
            };
            if known.last_ms < last_ms && name.is_none() {
                known.device.name = device.name;
            }
            known.ids.push(id);
            known.first_ms = first_seen(known.first_ms, first_ms);
            known.last_ms = known.last_ms.max(last_ms);
        }
        roster
    }

    /// The place in `devices` of the one that the row `id` belongs to.
    pub(super) fn place(&self, id: i64) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// The device that the row `id` belongs to.
    pub(super) fn device(&self, id: i64) -> Option<&Device> {
        self.devices.get(self.place(id)?).map(|known| &known.device)
    }
}

impl Store {
    /// Reads all devices.
    pub(super) fn roster(&self) -> Result<Roster, Fault> {
        let in_memory = "SELECT id, key, name, first_ms, last_ms FROM main.device";
        let in_file = "SELECT id, key, name, first_ms, last_ms FROM file.device
                       WHERE id NOT IN (SELECT id FROM main.device)";
        let mut found = Vec::new();
        for sql in [Some(in_memory), self.attached.then_some(in_file)].into_iter().flatten() {
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let Ok(key) = row.get_ref(1)?.as_str().unwrap_or_default().parse() else { continue };
                let device = Device { key, name: row.get_ref(2)?.as_str().unwrap_or_default().into() };
                found.push(Row { id: row.get(0)?, device, first_ms: row.get(3)?, last_ms: row.get(4)? });
            }
        }
        let table = self.devices.current();
        Ok(Roster::of(found, |key| table.same(key), |key| table.name_of(key)))
    }

    /// The rows of one device; none when it never asked.
    pub(super) fn rows_of(&self, key: DeviceKey) -> Result<Vec<i64>, Fault> {
        let key = self.devices.current().same(key);
        let roster = self.roster()?;
        let known = roster.devices.into_iter().find(|known| known.device.key == key);
        Ok(known.map(|known| known.ids).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_together_is_one_device() {
        let key = |number: u8| DeviceKey::Address([192, 0, 2, number].into());
        let row = |id: u8, name: &str, first_ms, last_ms| {
            let device = Device { key: key(id), name: name.into() };
            Row { id: id.into(), device, first_ms, last_ms }
        };
        let day = |day: i64| crate::history::schema::PLAUSIBLE_MS + day * 86_400_000;
        let rows = || {
            let tv = [row(1, "old name", day(2), day(3)), row(2, "later name", day(1), day(9))];
            let phone = [row(3, "phone", day(4), day(5))];
            tv.into_iter().chain(phone).collect::<Vec<_>>()
        };
        let same = |of: DeviceKey| if of == key(2) { key(1) } else { of };
        for (now, expected) in [(None, "later name"), (Some("TV"), "TV")] {
            let name_of = |of| now.filter(|_| of == key(1)).map(Arc::from);
            let roster = Roster::of(rows(), same, name_of);
            let [tv, phone] = &*roster.devices else { panic!("two devices") };
            assert_eq!((tv.device.key, &*tv.device.name, &*tv.ids), (key(1), expected, &[1, 2][..]));
            assert_eq!((tv.first_ms, tv.last_ms), (day(1), day(9)));
            assert_eq!((phone.device.key, &*phone.device.name), (key(3), "phone"));
            assert_eq!([1, 2, 3, 4].map(|id| roster.place(id)), [Some(0), Some(0), Some(1), None]);
        }
    }
}
