"""Operations on arrays that know neither labels nor methods."""
