// Draws the dashboard of the chart with Grafana's components, in the browser's light or dark colours. The address has
// `?prometheus=URL`. The title becomes `drawn` at the end. A panel without data is an error in the console.
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme, dateTime, reduceField, ThemeContext } from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import dashboard from '../../../charts/hugeprobe/files/dashboard.json';
import infoCircle from 'icons/info-circle.svg';
import { prepare } from './fields.js';
import { query } from './prometheus.js';
import { Timeline } from './timeline.jsx';

const COLUMNS = 24;
const ROW = 30;
const GAP = 8;
const MARGIN = 16;
const TIME_ZONE = 'utc';

// Grafana's components fetch their icons. A page in a file cannot.
const ICONS = { 'info-circle': infoCircle };
const fetchFromNetwork = window.fetch;
window.fetch = (address, options) => {
  const icon = /([\w-]+)\.svg$/.exec(String(address))?.[1];
  if (!icon) {
    return fetchFromNetwork(address, options);
  }
  if (!ICONS[icon]) {
    console.error(`page.jsx has no icon ${icon}`);
  }
  return Promise.resolve(new Response(ICONS[icon] ?? '<svg/>', { headers: { 'content-type': 'image/svg+xml' } }));
};

function Content({ panel, frames, width, height, range, theme }) {
  const first = frames[0];
  switch (panel.type) {
    case 'stat': {
      const field = first.fields[1];
      const value = field.display(reduceField({ field, reducers: panel.options.reduceOptions.calcs })[panel.options.reduceOptions.calcs[0]]);
      return <BigValue value={value} theme={theme} width={width} height={height} textMode="auto" justifyMode="auto" {...panel.options} />;
    }
    case 'table':
      return <TableNG data={first} width={width} height={height} cellHeight="sm" noHeader={!panel.options.showHeader} />;
    case 'timeseries': {
      const legend = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [], ...panel.options.legend };
      return <TimeSeries frames={frames} width={width} height={height} timeRange={range} timeZone={TIME_ZONE} legend={legend} />;
    }
    case 'state-timeline':
      return <Timeline frames={frames} width={width} height={height} range={range} theme={theme} timeZone={TIME_ZONE} />;
    default:
      throw new Error(`no component draws ${panel.type}`);
  }
}

// What a panel of each type has when it is drawn. A table measures its columns first.
const DRAWN = { stat: 'span', table: '[role="gridcell"]', timeseries: 'canvas', 'state-timeline': 'canvas' };

// Sets the title when every panel is drawn, and has been shown.
function wait() {
  const panels = [...document.querySelectorAll('[data-type]')];
  if (panels.every((panel) => panel.querySelector(DRAWN[panel.dataset.type]))) {
    requestAnimationFrame(() => requestAnimationFrame(() => (document.title = 'drawn')));
  } else {
    requestAnimationFrame(wait);
  }
}

function Panel({ panel, frames, range, theme, place }) {
  return (
    <div style={{ position: 'absolute', ...place }} data-type={panel.type}>
      <PanelChrome
        title={panel.title}
        description={panel.description || undefined}
        width={place.width}
        height={place.height}
        padding={panel.type === 'table' || panel.type === 'stat' ? 'none' : 'md'}
      >
        {(width, height) => <Content {...{ panel, frames, width, height, range, theme }} />}
      </PanelChrome>
    </div>
  );
}

function Dashboard({ panels, range, theme, height }) {
  const variables = dashboard.templating.list.map((one) => `${one.label}: ${one.type === 'datasource' ? 'Prometheus' : 'All'}`);
  useEffect(() => {
    document.fonts.ready.then(wait);
  }, []);
  return (
    <div style={{ position: 'relative', height }}>
      <div style={{ display: 'flex', gap: 16, padding: `12px ${MARGIN}px`, alignItems: 'baseline' }}>
        <h1 style={{ fontSize: 18, margin: 0, fontWeight: 500 }}>{dashboard.title}</h1>
        <span style={{ color: theme.colors.text.secondary }}>{variables.join('   ·   ')}</span>
        <span style={{ marginLeft: 'auto', color: theme.colors.text.secondary }}>Last 24 hours, UTC</span>
      </div>
      {panels.map((one) => (
        <Panel key={one.panel.id} {...one} range={range} theme={theme} />
      ))}
    </div>
  );
}

async function main() {
  const prometheus = new URLSearchParams(location.search).get('prometheus');
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const theme = createTheme({ colors: { mode: dark ? 'dark' : 'light' } });
  const [, hours] = /^now-(\d+)h$/.exec(dashboard.time.from);
  const to = Date.now();
  const from = to - hours * 3600 * 1000;
  const range = { from: dateTime(from), to: dateTime(to), raw: dashboard.time };
  const column = (innerWidth - 2 * MARGIN + GAP) / COLUMNS;
  const top = 52;
  const panels = await Promise.all(
    dashboard.panels.map(async (panel) => {
      const { x, y, w, h } = panel.gridPos;
      const place = { left: MARGIN + x * column, top: top + y * (ROW + GAP), width: w * column - GAP, height: h * (ROW + GAP) - GAP };
      const frames = (await query(prometheus, panel, { from, to }, place.width)).filter((frame) => frame.length > 0);
      if (frames.length === 0) {
        console.error(`${panel.title}: no data`);
      }
      return { panel, place, frames: await prepare(panel, frames, theme, TIME_ZONE) };
    })
  );
  const height = Math.max(...panels.map(({ place }) => place.top + place.height)) + MARGIN;
  createRoot(document.getElementById('page')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Dashboard panels={panels.filter(({ frames }) => frames.length > 0)} range={range} theme={theme} height={height} />
    </ThemeContext.Provider>
  );
}

main().catch((error) => {
  console.error(error.message);
  document.title = 'drawn';
});
