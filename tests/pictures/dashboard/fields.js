// Applies transformations and field options to data frames, as Grafana does before it draws a panel.
import {
  FieldType,
  getDisplayProcessor,
  getFieldDisplayName,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { cloneDeep, merge, set } from 'lodash';
import { firstValueFrom } from 'rxjs';

// The defaults of Grafana's panels, for what a dashboard does not set.
const DEFAULTS = {
  timeseries: {
    color: { mode: 'palette-classic' },
    custom: {
      drawStyle: 'line',
      lineInterpolation: 'linear',
      lineWidth: 1,
      fillOpacity: 0,
      gradientMode: 'none',
      pointSize: 5,
      showPoints: 'auto',
      spanNulls: false,
      axisPlacement: 'auto',
      axisGridShow: true,
      hideFrom: { legend: false, tooltip: false, viz: false },
      scaleDistribution: { type: 'linear' },
      stacking: { mode: 'none' },
      thresholdsStyle: { mode: 'off' },
    },
  },
  'state-timeline': { color: { mode: 'thresholds' } },
  stat: { color: { mode: 'thresholds' } },
  table: {
    color: { mode: 'thresholds' },
    custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: false, inspect: false },
  },
};

// The transformations that the dashboard uses.
standardTransformersRegistry.setInit(() =>
  [standardTransformers.organizeFieldsTransformer].map((one) => ({ id: one.id, name: one.name, transformation: () => one }))
);

export async function prepare(panel, frames, theme, timeZone) {
  for (const { id } of panel.transformations ?? []) {
    if (!standardTransformersRegistry.getIfExists(id)) {
      throw new Error(`${panel.title}: unknown transformation ${id}`);
    }
  }
  const context = { interpolate: (text) => text };
  const transformed = await firstValueFrom(transformDataFrame(panel.transformations ?? [], frames, context));
  let index = 0;
  for (const frame of transformed) {
    for (const field of frame.fields) {
      const first = { ...field.config };
      field.config = merge({}, cloneDeep(DEFAULTS[panel.type]), cloneDeep(panel.fieldConfig.defaults), first);
      field.config.thresholds ??= { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }] };
      // JSON has no minus infinity.
      field.config.thresholds.steps[0].value ??= -Infinity;
      for (const { matcher, properties } of panel.fieldConfig.overrides) {
        if (matcher.id !== 'byName') {
          throw new Error(`${panel.title}: unknown matcher ${matcher.id}`);
        }
        if (getFieldDisplayName(field, frame, transformed) === matcher.options) {
          properties.forEach(({ id, value }) => set(field.config, id, value));
        }
      }
      if (field.type === FieldType.number) {
        field.state = { ...field.state, seriesIndex: index++ };
      }
      field.display = getDisplayProcessor({ field, theme, timeZone });
    }
  }
  return transformed;
}
