//! The board's sensors as the kernel exposes them: temperatures, and throttling by heat or a weak power supply.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::file;

/// The bits of the Raspberry Pi firmware's `get_throttled`; sixteen higher stands the same since the boot.
/// <https://www.raspberrypi.com/documentation/computers/os.html#get_throttled>
const FIRMWARE_BITS: [(u32, Reason); 4] = [
    (0, Reason::UnderVoltage),
    (1, Reason::FrequencyCapped),
    (2, Reason::Throttled),
    (3, Reason::SoftTemperatureLimit),
];

/// Offset from a bit to the one for the time since the boot.
const SINCE_BOOT: u32 = 16;

/// Why the board is slower than it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// The power supply or its cable is too weak.
    UnderVoltage,
    FrequencyCapped,
    Throttled,
    SoftTemperatureLimit,
    /// The kernel has lowered the processor's frequency because of heat.
    ThermalCooling,
}

impl Reason {
    /// As JSON and metrics name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UnderVoltage => "under_voltage",
            Self::FrequencyCapped => "frequency_capped",
            Self::Throttled => "throttled",
            Self::SoftTemperatureLimit => "soft_temperature_limit",
            Self::ThermalCooling => "thermal_cooling",
        }
    }
}

/// One reason, as far as the board reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Throttling {
    pub(super) reason: Reason,
    pub(super) now: bool,
    /// None where only the present state is available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since_boot: Option<bool>,
}

/// A temperature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Temperature {
    /// The thermal zone's folder, such as `thermal_zone0`.
    pub(super) zone: String,
    /// What it measures, such as `cpu-thermal`.
    pub(super) sensor: String,
    pub(super) celsius: f64,
}

/// A board's sensors; each list may be empty, because many boards have none.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Board {
    pub(super) temperatures: Vec<Temperature>,
    pub(super) throttling: Vec<Throttling>,
}

impl Board {
    /// Reads what lies under `sys`; what is not there or cannot be read is left out.
    pub(super) fn read(sys: &Path) -> Self {
        let zones = entries(&sys.join("class/thermal"), "thermal_zone");
        let temperatures = zones.iter().filter_map(|zone| temperature(zone)).collect();
        let firmware = entries(&sys.join("devices/platform"), "soc")
            .iter()
            .flat_map(|soc| entries(soc, "soc"))
            .find_map(|firmware| u32::from_str_radix(&word(&firmware.join("get_throttled"))?, 16).ok());
        let mut throttling: Vec<_> = firmware
            .map(|bits| FIRMWARE_BITS.map(|(bit, reason)| throttled(reason, bits, bit)).to_vec())
            .unwrap_or_default();
        // Mainline kernels lack the Raspberry Pi kernel's file, but have its voltage alarm.
        if throttling.is_empty() {
            throttling.extend(voltage_alarm(sys));
        }
        let coolers = entries(&sys.join("class/thermal"), "cooling_device");
        let slowed: Vec<_> = coolers.iter().filter_map(|cooler| slows_processor(cooler)).collect();
        if !slowed.is_empty() {
            let now = slowed.contains(&true);
            throttling.push(Throttling { reason: Reason::ThermalCooling, now, since_boot: None });
        }
        Self { temperatures, throttling }
    }

    /// The same for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let temperatures: Vec<_> =
            self.temperatures.iter().map(|one| format!("{} {:.1} °C", one.sensor, one.celsius)).collect();
        let names = |wanted: &dyn Fn(&Throttling) -> bool| -> Vec<String> {
            let those = self.throttling.iter().filter(|one| wanted(one));
            those.map(|one| one.reason.name().replace('_', " ")).collect()
        };
        let now = names(&|one| one.now);
        let earlier = names(&|one| !one.now && one.since_boot == Some(true));
        let slowed = match (self.throttling.is_empty(), now.is_empty(), earlier.is_empty()) {
            (true, ..) => "of throttling nothing is told here".to_owned(),
            (_, true, true) => "not throttled".to_owned(),
            (_, true, false) => format!("not throttled now; since the boot: {}", earlier.join(", ")),
            (_, false, true) => format!("throttled: {}", now.join(", ")),
            (..) => format!("throttled: {}; earlier since the boot: {}", now.join(", "), earlier.join(", ")),
        };
        let heat = if temperatures.is_empty() {
            "no temperature is told here".to_owned()
        } else {
            temperatures.join(", ")
        };
        vec![format!("{:<8} {heat}", "heat"), format!("{:<8} {slowed}", "speed")]
    }
}

fn throttled(reason: Reason, bits: u32, bit: u32) -> Throttling {
    let is_set = |bit: u32| bits >> bit & 1 == 1;
    Throttling { reason, now: is_set(bit), since_boot: Some(is_set(bit + SINCE_BOOT)) }
}

/// The firmware's voltage alarm (`rpi_volt`), which reports only the present state.
fn voltage_alarm(sys: &Path) -> Option<Throttling> {
    let monitors = entries(&sys.join("class/hwmon"), "hwmon");
    let alarm = monitors.iter().find(|monitor| word(&monitor.join("name")).as_deref() == Some("rpi_volt"))?;
    let now = word(&alarm.join("in0_lcrit_alarm"))? == "1";
    Some(Throttling { reason: Reason::UnderVoltage, now, since_boot: None })
}

/// Whether a cooling device slows the processor now; none if it is another one, such as a fan.
fn slows_processor(cooler: &Path) -> Option<bool> {
    let kind = word(&cooler.join("type"))?;
    let is_processor = kind.contains("cpufreq") || kind.eq_ignore_ascii_case("processor");
    let state: u32 = is_processor.then(|| word(&cooler.join("cur_state"))).flatten()?.parse().ok()?;
    Some(state > 0)
}

fn temperature(zone: &Path) -> Option<Temperature> {
    let millidegrees: i32 = word(&zone.join("temp"))?.parse().ok()?;
    Some(Temperature {
        zone: zone.file_name()?.to_str()?.to_owned(),
        sensor: word(&zone.join("type"))?,
        celsius: f64::from(millidegrees) / 1000.0,
    })
}

/// The entries of a folder whose names begin so, in order.
fn entries(folder: &Path, begin: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(begin))
    };
    let mut found: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(named).collect();
    found.sort();
    found
}

/// The one word in a file.
fn word(path: &Path) -> Option<String> {
    let text = file::read_to_string(path, 4096).ok()?;
    let word = text.trim().trim_start_matches("0x");
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sys(files: &[(&str, &str)]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = sys.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        sys
    }

    #[test]
    fn a_raspberry_pi_reports_heat_and_throttling() {
        let sys = sys(&[
            ("class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("class/thermal/thermal_zone0/temp", "81234\n"),
            // Under-voltage and throttled since the boot, and the soft limit now.
            ("devices/platform/soc/soc:firmware/get_throttled", "50008\n"),
            ("class/thermal/cooling_device0/type", "pwm-fan\n"),
            ("class/thermal/cooling_device0/cur_state", "3\n"),
        ]);
        let board = Board::read(sys.path());
        assert_eq!(board.temperatures[0].sensor, "cpu-thermal");
        assert!((board.temperatures[0].celsius - 81.234).abs() < 1e-9);
        let reported: Vec<_> =
            board.throttling.iter().map(|one| (one.reason, one.now, one.since_boot.unwrap())).collect();
        assert_eq!(
            reported,
            [
                (Reason::UnderVoltage, false, true),
                (Reason::FrequencyCapped, false, false),
                (Reason::Throttled, false, true),
                (Reason::SoftTemperatureLimit, true, false),
            ]
        );
        assert_eq!(
            board.lines(),
            [
                "heat     cpu-thermal 81.2 °C",
                "speed    throttled: soft temperature limit; earlier since the boot: under voltage, throttled"
            ]
        );
    }

    #[test]
    fn other_boards_tell_what_they_have() {
        let jetson = sys(&[
            ("class/thermal/cooling_device1/type", "cpufreq-cpu0\n"),
            ("class/thermal/cooling_device1/cur_state", "2\n"),
        ]);
        let slowed = Throttling { reason: Reason::ThermalCooling, now: true, since_boot: None };
        assert_eq!(Board::read(jetson.path()).throttling, [slowed]);
        let debian =
            sys(&[("class/hwmon/hwmon1/name", "rpi_volt\n"), ("class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")]);
        let weak = Throttling { reason: Reason::UnderVoltage, now: true, since_boot: None };
        assert_eq!(Board::read(debian.path()).throttling, [weak]);
        let silent = Board::read(Path::new("/no/such/folder"));
        assert_eq!(silent, Board::default());
        assert_eq!(
            silent.lines(),
            ["heat     no temperature is told here", "speed    of throttling nothing is told here"]
        );
    }
}
