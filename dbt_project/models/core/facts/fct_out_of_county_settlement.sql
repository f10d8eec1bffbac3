{{ fact('out_of_county_settlement') }}
