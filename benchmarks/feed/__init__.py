"""Ranking in practice: click, long view, like and watch time of real impressions."""
