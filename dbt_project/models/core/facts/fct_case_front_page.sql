{{ fact('case_front_page') }}
