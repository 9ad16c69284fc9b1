// Sends the queries of a panel to Prometheus as Grafana's data source does, and turns the answers into data frames.
import { FieldType, rangeUtil, toDataFrame } from '@grafana/data';

// The setting "Scrape interval" of the data source. tests/pictures/day.rs records one sample a minute.
const SCRAPE_SECONDS = 60;

// Returns the frames of all queries of a panel that is `width` pixels wide. `range` is in milliseconds.
export async function query(prometheus, panel, range, width) {
  const frames = await Promise.all(panel.targets.map((target) => run(prometheus, target, range, width)));
  return frames.flat();
}

async function run(prometheus, target, range, width) {
  const points = Math.floor(width);
  const step = rangeUtil.roundInterval(Math.max((range.to - range.from) / points, SCRAPE_SECONDS * 1000)) / 1000;
  const expression = interpolate(target.expr);
  if (target.instant) {
    const result = await ask(prometheus, 'query', { query: expression, time: range.to / 1000 });
    return target.format === 'table' ? [table(result)] : result.map((one) => series(target, [one.value], one.metric));
  }
  // Grafana moves both ends to multiples of the step.
  const align = (time) => Math.floor(time / 1000 / step) * step;
  const parameters = { query: expression, start: align(range.from), end: align(range.to), step };
  const result = await ask(prometheus, 'query_range', parameters);
  return result.map((one) => series(target, one.values, one.metric, step));
}

// Puts in what Grafana puts in for the variables of the dashboard, with "All" selected in each.
function interpolate(expression) {
  const query = expression.replaceAll(/\$(cluster|node|size)\b/g, '.*');
  if (query.includes('$')) {
    throw new Error(`unknown variable in ${query}`);
  }
  return query;
}

async function ask(prometheus, path, parameters) {
  const answer = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const text = await answer.json();
  if (text.status !== 'success') {
    throw new Error(`${text.error} in ${parameters.query}`);
  }
  return text.data.result;
}

function series(target, points, labels, step) {
  const legend = target.legendFormat.replaceAll(/{{\s*(\w+)\s*}}/g, (_, label) => labels[label] ?? '').trim();
  return toDataFrame({
    refId: target.refId,
    fields: [
      // The interval tells where samples are missing, so that no line is drawn there.
      { name: 'Time', type: FieldType.time, values: points.map(([time]) => time * 1000), config: { interval: step * 1000 } },
      {
        name: 'Value',
        type: FieldType.number,
        values: points.map(([, value]) => Number(value)),
        labels,
        config: { displayNameFromDS: legend },
      },
    ],
  });
}

// One row for each series, with a column for each label.
function table(result) {
  const labels = [...new Set(result.flatMap((one) => Object.keys(one.metric)))].sort();
  const column = (name, type, value) => ({ name, type, values: result.map(value) });
  return toDataFrame({
    fields: [
      column('Time', FieldType.time, (one) => one.value[0] * 1000),
      ...labels.map((label) => column(label, FieldType.string, (one) => one.metric[label] ?? '')),
      column('Value', FieldType.number, (one) => Number(one.value[1])),
    ],
  });
}
