"""The size of each deployment: presets, the options of each variant, what Ray scales by."""
