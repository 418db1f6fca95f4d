//! The colours of the dashboard, for pictures: read from its stylesheet, so that there is one list of them.

use std::{collections::BTreeMap, sync::LazyLock};

use ipam_shared::api::pool::Theme;

/// The stylesheet of the dashboard.
const SHEET: &str = include_str!("../../static/app.css");

/// A colour of each name.
pub(super) struct Palette(BTreeMap<&'static str, &'static str>);

static LIGHT: LazyLock<Palette> = LazyLock::new(|| Palette::after(":root {"));
static DARK: LazyLock<Palette> = LazyLock::new(|| Palette::after(":root[data-theme=\"dark\"] {"));

impl Palette {
    pub(super) fn of(theme: Theme) -> &'static Self {
        match theme {
            Theme::Light => &LIGHT,
            Theme::Dark => &DARK,
        }
    }

    /// The variables of the first rule that begins like that.
    fn after(rule: &str) -> Self {
        let body = SHEET.split_once(rule).map_or("", |(_, rest)| rest);
        let body = body.split_once('}').map_or("", |(body, _)| body);
        let declared = body.lines().filter_map(|line| {
            let (name, value) = line.trim().strip_prefix("--")?.split_once(':')?;
            Some((name, value.trim().trim_end_matches(';')))
        });
        Self(declared.collect())
    }

    /// The colour of that name.
    pub(super) fn get(&self, name: &str) -> &'static str {
        self.0.get(name).copied().unwrap_or("#808080")
    }

    /// The rules of a picture: those of the map in the stylesheet, with colours in place of variables.
    pub(super) fn rules(&self, theme: Theme) -> String {
        let (pattern, strength) = match theme {
            Theme::Light => ("#fff", "0.32"),
            Theme::Dark => ("#000", "0.26"),
        };
        let mut rules = format!(
            "text{{font-family:{SANS};font-size:12px;fill:{ink}}}\
             .mono,.written{{font-family:{MONO}}}\
             .h{{font-size:15px;font-weight:600}}.m{{fill:{muted}}}.s{{font-size:11px}}.e{{text-anchor:end}}\
             .written{{font-size:11px;stroke-width:3px;stroke-linejoin:round;paint-order:stroke;fill:{on_block}}}\
             .plain{{fill:{ink};stroke:{free}}}.own{{fill:{accent};stroke:{soft}}}\
             .page{{fill:{surface}}}.row,.fill-ground,.fill-reserved{{fill:{free}}}.tick{{stroke:{tick}}}\
             .fill-free{{fill:{free};stroke:{line}}}\
             .block{{stroke:{surface};stroke-width:1}}.hole{{fill:none}}\
             .child{{fill:{soft};stroke:{accent};stroke-width:1.3}}\
             .cooling{{fill:none;stroke:{line};stroke-width:1.3;stroke-dasharray:3 3}}\
             .cell{{fill:{v0};fill-opacity:0.2;stroke:{surface};stroke-width:1}}\
             .ink{{stroke:{pattern};stroke-opacity:{strength};stroke-width:1.2;fill:none}}\
             .dot{{fill:{pattern};fill-opacity:{strength}}}\
             .ink-reserved{{stroke:{line};stroke-width:1.2;fill:none}}\
             .ink-u{{stroke:{v0};stroke-width:1.4;fill:none}}.dot-u{{fill:{v0}}}.fill-u{{fill:{v0};fill-opacity:0.35}}\
             .halo{{fill:none;stroke:{surface};stroke-width:6}}.marked{{fill:none;stroke:{ink};stroke-width:2.6}}\
             .free{{fill:{good}}}\
             .level-0{{fill:{bar}}}.level-1{{fill:{warn}}}.level-2{{fill:{full}}}",
            ink = self.get("ink"),
            muted = self.get("muted"),
            on_block = self.get("on-block"),
            free = self.get("free"),
            accent = self.get("accent"),
            soft = self.get("accent-soft"),
            surface = self.get("surface"),
            tick = self.get("tick"),
            line = self.get("line-strong"),
            v0 = self.get("v0"),
            good = self.get("good"),
            bar = self.get("bar"),
            warn = self.get("bar-warn"),
            full = self.get("bar-full"),
        );
        for class in ["v0", "v1", "v2", "v3", "v4", "v5", "vx"] {
            let colour = self.get(class);
            rules.push_str(&format!(
                ".fill-{class}{{fill:{colour}}}.on-{class}{{stroke:{colour}}}"
            ));
        }
        rules
    }
}

const SANS: &str = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif";
const MONO: &str =
    "ui-monospace,'SF Mono',Menlo,Consolas,'Liberation Mono','DejaVu Sans Mono',monospace";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_is_in_the_stylesheet() {
        for theme in [Theme::Light, Theme::Dark] {
            let palette = Palette::of(theme);
            let rules = palette.rules(theme);
            assert!(
                !rules.contains("#808080") && !rules.contains("var("),
                "{rules}"
            );
        }
        assert_ne!(
            Palette::of(Theme::Light).get("ink"),
            Palette::of(Theme::Dark).get("ink")
        );
    }
}
