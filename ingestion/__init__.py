"""From the landing zone to typed, lineage-carrying Parquet: nothing an institution sends gets past here unread."""
