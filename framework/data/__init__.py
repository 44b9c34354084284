"""The values that cross the seams: arrays, schema, context, windows, forecast, panel."""
