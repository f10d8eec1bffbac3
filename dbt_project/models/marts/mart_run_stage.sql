-- depends_on: {{ source('runs', 'run_stages') }}
with final as (
    select *, {{ month_of('started_at') }} as month, 'county' as level, cast(null as varchar) as institution_code
    from (
        {{ ledger('run_stages', {'run_id': 'varchar', 'started_at': 'timestamp', 'stage': 'varchar', 'wall_seconds': 'double',
            'cpu_seconds': 'double', 'peak_mib': 'double', 'bytes': 'bigint', 'rows': 'bigint'}) }}
    ) as r
)

{{ conform('final') }}
