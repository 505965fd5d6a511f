"""Restoration: planes in, clean planes out; knows neither files nor Dask."""
