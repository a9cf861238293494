//! What a version has and does. Only [`Version::V7_5`] was ever seen; see the marks.

/// The versions whose rules differ, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// 7.5.5, as recorded.
    V7_5,
    V8,
    V9,
    V10,
    V11_2,
    V11_3,
    V12,
}

impl Version {
    pub(crate) const ALL: [Self; 7] =
        [Self::V7_5, Self::V8, Self::V9, Self::V10, Self::V11_2, Self::V11_3, Self::V12];

    /// As `/api/health` says it; the last one has a suffix, as was seen [I grafana-backup-tool#298].
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::V7_5 => "7.5.5",
            Self::V8 => "8.5.27",
            Self::V9 => "9.5.21",
            Self::V10 => "10.4.19",
            Self::V11_2 => "11.2.10",
            Self::V11_3 => "11.3.9",
            Self::V12 => "12.1.0-16426244399",
        }
    }

    /// Folders in folders without a toggle [D grafana-operator, I grafana#84631].
    pub(super) fn nests_folders(self) -> bool {
        self >= Self::V11_2
    }

    /// `GET /api/folders` knows `page`. 7.5.5 does not: it answers the first page again [R 022]. Since when: [M].
    pub(super) fn pages_folders(self) -> bool {
        self >= Self::V8
    }

    /// `folderUid` of a saved dashboard is heeded [D], 7.5.5 ignores it [R 071]; `meta.folderUid` is told [M].
    pub(super) fn folder_by_uid(self) -> bool {
        self >= Self::V8
    }

    /// A folder that exists is 409 [D] and not 412 [R 015]; 412 was seen in 2022 [I grafana-backup-tool#191].
    pub(super) fn existing_folder_is_conflict(self) -> bool {
        self >= Self::V10
    }

    /// Titles may repeat in a folder [I grafana#90687].
    pub(super) fn titles_repeat(self) -> bool {
        self >= Self::V11_3
    }

    /// `/api/dashboards/uid/U/permissions` [S] and `…/versions` [M]; 7.5.5 has neither [R 207, 208].
    pub(super) fn permissions_by_uid(self) -> bool {
        self >= Self::V9
    }

    /// `PUT /api/datasources/uid/U` and no password fields in the clear [M]; not on 7.5.5 [R 205].
    pub(super) fn data_source_by_uid(self) -> bool {
        self >= Self::V9
    }

    /// `/api/library-elements` in the place of `/api/library-panels` [R 060, 061][S].
    pub(super) fn library_elements(self) -> bool {
        self >= Self::V8
    }

    /// A library element names its folder by `folderUid` [S].
    pub(super) fn library_folder_uid(self) -> bool {
        self >= Self::V9
    }

    /// `/api/v1/provisioning` [D]; not on 7.5.5 [R 113]; on 8.5 behind a flag [I grafana#47743].
    pub(super) fn provisioning(self) -> bool {
        self >= Self::V9
    }

    /// `contact-points/export?decrypt=true` [I grafana#71692].
    pub(super) fn decrypts_contact_points(self) -> bool {
        self >= Self::V10
    }

    /// A group may bring new rules that have a UID: not before 11.5.2 [I grafana#100450].
    pub(super) fn groups_bring_new_uids(self) -> bool {
        self >= Self::V12
    }

    /// `/api/ruler/grafana/…` is all there is for the new alerting [S].
    pub(super) fn ruler_only(self) -> bool {
        self == Self::V8
    }

    /// `/api/alert-notifications` [R 111]; removed in 11 [D].
    pub(super) fn legacy_channels(self) -> bool {
        self <= Self::V10
    }

    /// `/api/auth/keys` [R 005]; gone in 12 [I grafana-backup-tool#298].
    pub(super) fn api_keys(self) -> bool {
        self < Self::V12
    }

    /// `/api/serviceaccounts` [M since when].
    pub(super) fn service_accounts(self) -> bool {
        self >= Self::V9
    }

    /// `/api/datasources/correlations` [M since when].
    pub(super) fn correlations(self) -> bool {
        self >= Self::V9
    }

    /// Playlists have a `uid`, from 9.1 on [M]; 7.5.5 has only numbers [R 093].
    pub(super) fn playlist_uids(self) -> bool {
        self >= Self::V9
    }

    /// `homeDashboardUID` in the preferences [M since when], `weekStart` with it; PATCH beside PUT.
    pub(super) fn home_by_uid(self) -> bool {
        self >= Self::V9
    }

    /// `/api/dashboards/public-dashboards` [M since when].
    pub(super) fn public_dashboards(self) -> bool {
        self >= Self::V10
    }

    /// A snapshot that is not there is 404 [A, since when: M] and not 500 [R 100].
    pub(super) fn missing_snapshot_is_404(self) -> bool {
        self >= Self::V10
    }

    /// Refusals of RBAC with `accessErrorId` and `title` [I grafana-backup-tool#265].
    pub(super) fn rbac(self) -> bool {
        self >= Self::V9
    }

    /// Errors with `messageId`, `statusCode` and `traceID` [M since when].
    pub(super) fn verbose_errors(self) -> bool {
        self >= Self::V10
    }

    /// `PUT /api/teams/N/members` sets all members [D, since when: M], and teams have a `uid` [M].
    pub(super) fn sets_all_members(self) -> bool {
        self >= Self::V11_2
    }
}
