// A state timeline. Grafana's own is a part of its application and not of @grafana/ui, so this one is drawn here, with the axes of
// @grafana/ui: a lane for each series, a box for each time in which its value is the same.
import { useMemo } from 'react';
import { formattedValueToString, getFieldDisplayName } from '@grafana/data';
import { UPlotChart, UPlotConfigBuilder, VizLayout, VizLegend } from '@grafana/ui';

const LANE_FILL = 0.9;
const OPACITY = 0.7;
const TEXT_MARGIN = 16;

export function Timeline({ frames, width, height, range, theme, timeZone }) {
  const lanes = useMemo(() => frames.map((frame) => ({ name: getFieldDisplayName(frame.fields[1], frame), boxes: boxes(frame) })), [frames]);
  const builder = useMemo(() => configuration(lanes, range, theme, timeZone), [lanes, range, theme, timeZone]);
  const states = new Map(lanes.flatMap((lane) => lane.boxes.map((box) => [box.text, box.color])));
  const legend = (
    <VizLayout.Legend placement="bottom">
      <VizLegend
        placement="bottom"
        displayMode="list"
        items={[...states].map(([label, color]) => ({ label, color, yAxis: 1 }))}
      />
    </VizLayout.Legend>
  );
  return (
    <VizLayout width={width} height={height} legend={legend}>
      {(w, h) => (
        <UPlotChart config={builder} data={[[range.from.valueOf(), range.to.valueOf()], [0, 0]]} width={w} height={h} />
      )}
    </VizLayout>
  );
}

function boxes(frame) {
  const [times, values] = frame.fields;
  const found = [];
  times.values.forEach((time, index) => {
    const shown = values.display(values.values[index]);
    const text = formattedValueToString(shown);
    const last = found.at(-1);
    if (last?.text === text && time - last.to <= times.config.interval) {
      last.to = time;
    } else {
      // A state lasts until the next sample.
      if (last && time - last.to <= times.config.interval) {
        last.to = time;
      }
      found.push({ from: time, to: time, text, color: shown.color });
    }
  });
  return found;
}

function configuration(lanes, range, theme, timeZone) {
  const builder = new UPlotConfigBuilder(timeZone);
  builder.addScale({ scaleKey: 'x', isTime: true, orientation: 0, direction: 1, range: () => [range.from.valueOf(), range.to.valueOf()] });
  builder.addScale({ scaleKey: 'y', isTime: false, orientation: 1, direction: 1, range: () => [0, lanes.length] });
  builder.addAxis({ scaleKey: 'x', isTime: true, placement: 'bottom', timeZone, theme, grid: { show: true } });
  builder.addAxis({
    scaleKey: 'y',
    isTime: false,
    placement: 'left',
    theme,
    grid: { show: false },
    ticks: { show: false },
    splits: () => lanes.map((_, lane) => lanes.length - lane - 0.5),
    values: () => lanes.map((lane) => lane.name),
  });
  builder.addSeries({ scaleKey: 'y', theme, show: true, pathBuilder: () => null, pointsFilter: () => [] });
  builder.addHook('draw', (plot) => draw(plot, lanes, theme));
  return builder;
}

function draw(plot, lanes, theme) {
  const { ctx } = plot;
  ctx.save();
  ctx.font = `${12 * devicePixelRatio}px ${theme.typography.fontFamily}`;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  lanes.forEach((lane, row) => {
    const middle = plot.valToPos(lanes.length - row - 0.5, 'y', true);
    const size = (plot.bbox.height / lanes.length) * LANE_FILL;
    for (const box of lane.boxes) {
      const left = Math.max(plot.valToPos(box.from, 'x', true), plot.bbox.left);
      const right = plot.valToPos(box.to, 'x', true);
      ctx.globalAlpha = OPACITY;
      ctx.fillStyle = box.color;
      ctx.fillRect(left, middle - size / 2, Math.max(right - left, 1), size);
      ctx.globalAlpha = 1;
      ctx.fillStyle = theme.colors.text.primary;
      if (ctx.measureText(box.text).width + TEXT_MARGIN < right - left) {
        ctx.fillText(box.text, (left + right) / 2, middle);
      }
    }
  });
  ctx.restore();
}
